"""The OpenAPI document as one self-contained page: nothing is loaded from anywhere."""

from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#2563eb}
body{font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:2rem 1.25rem 6rem}
h1{margin:0}h2{margin:3rem 0 .5rem;text-transform:capitalize}code,pre{font:.86em/1.5 ui-monospace,monospace}
details{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;padding:0 .9rem}
summary{cursor:pointer;padding:.6rem 0}details[open] summary{border-bottom:1px solid var(--line);margin-bottom:.6rem}
.method{display:inline-block;min-width:5.2rem;font-weight:700;color:var(--accent)}
.about{opacity:.75;margin-left:.6rem}table{border-collapse:collapse;width:100%;margin:.3rem 0 1rem}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600;opacity:.7}pre{background:var(--soft);padding:.7rem;border-radius:.4rem;overflow:auto}
h3{font-size:1rem;margin:.9rem 0 .1rem}
"""


def render_docs(document: dict[str, Any]) -> str:
    """HTML of an OpenAPI document."""
    info = document["info"]
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(blocks)}" for tag, blocks in by_tag.items())
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code>'
        f'<span class="about">{escape(schema.get("description", ""))}</span></summary>{_properties(schema)}</details>'
        for name, schema in sorted(document["components"]["schemas"].items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'].removesuffix(' API'))} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>"
        f'<p>As data: <a href="/openapi.json">/openapi.json</a></p>{sections}<h2>Documents</h2>{schemas}</body></html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{escape(operation['description'])}</p>" if "description" in operation else ""]
    if operation["parameters"]:
        rows = [
            (parameter["name"], f"{parameter['in']}, {_type(parameter['schema'])}", parameter.get("description", ""))
            for parameter in operation["parameters"]
        ]
        parts.append(f"<h3>Parameters</h3>{_table(rows)}")
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Send <code>{escape(media_type)}</code></h3>{_body(content['schema'])}")
    rows = [(status, _shape(answer), answer["description"]) for status, answer in operation["responses"].items()]
    parts.append(f"<h3>Answers</h3>{_table(rows)}")
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><span class="method">{method.upper()}</span>'
        f'<code>{escape(path)}</code><span class="about">{escape(operation["summary"])}</span></summary>'
        f"{''.join(parts)}</details>"
    )


def _body(schema: dict[str, Any]) -> str:
    return f"<p>{_link(schema['$ref'])}</p>" if "$ref" in schema else _properties(schema)


def _properties(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"<p>One of {escape(', '.join(map(str, schema['enum'])))}.</p>"
    required = set(schema.get("required", ()))
    rows = [
        (name, _type(field) + (", required" if name in required else ""), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]
    return _table(rows) if rows else "<p>No fields.</p>"


def _shape(answer: dict[str, Any]) -> str:
    return "<br>".join(
        f"{escape(media_type)} {_link(content['schema']['$ref']) if '$ref' in content['schema'] else ''}"
        for media_type, content in answer.get("content", {}).items()
    )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    name = escape(str(schema.get("format") or schema.get("type") or "any"))
    bounds = [f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema]
    if "enum" in schema:
        bounds.append(" | ".join(map(str, schema["enum"])))
    if schema.get("default") is not None:
        bounds.append(f"default {schema['default']}")
    return escape(", ".join([name, *bounds]), quote=False) if bounds else name


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "maxLength": "length ≤"}


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Rows of (plain name, HTML, plain text)."""
    return (
        "<table>"
        + "".join(
            f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{escape(text)}</td></tr>"
            for name, kind, text in rows
        )
        + "</table>"
    )


def _link(reference: str) -> str:
    name = escape(reference.rsplit("/", 1)[1])
    return f'<a href="#{name}">{name}</a>'
