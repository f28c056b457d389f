"""The OpenAPI 3.1 document, made from the route table and the models that check requests and render answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.documents.service import ErrorAnswer
from api.errors import STATUSES
from api.operations import COMMON_ERRORS, PATH_PARAMETERS, Body, Operation
from common.errors import CODES

_EXTENSION: Final = "facepipe.openapi"
_REF: Final = "#/components/schemas/{model}"


def install_openapi(app: Any, operations: Sequence[Operation], *, needs_key: bool) -> None:
    """Keep the document with the app; it does not change while the app lives."""
    app.extensions[_EXTENSION] = make_openapi(operations, needs_key=needs_key)


def document_of(app: Any) -> dict[str, Any]:
    """The document of an app."""
    return cast(dict[str, Any], app.extensions[_EXTENSION])


def make_openapi(operations: Sequence[Operation], *, needs_key: bool) -> dict[str, Any]:
    """See the module.

    Args:
        needs_key: whether callers must send an API key.
    """
    refs, definitions = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, refs)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "facepipe",
            "version": "1",
            "description": "Who appears in this video, and when? Boxes are [x1, y1, x2, y2] in pixels of the upright"
            " original, media time is in ms, similarity is the cosine: larger is more alike, bounds are inclusive.",
        },
        "paths": paths,
        "components": {"schemas": definitions},
    }
    if needs_key:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """References to, and definitions of, every model that is sent or answered."""
    answers = {operation.answer for operation in operations if operation.answer is not None} | {ErrorAnswer}
    requests = {
        model
        for operation in operations
        for model in (operation.query, *((operation.body.json, operation.body.form) if operation.body else ()))
        if model is not None
    }
    wanted: list[tuple[type[BaseModel], Any]] = [
        *((model, "serialization") for model in sorted(answers, key=lambda model: model.__name__)),
        *((model, "validation") for model in sorted(requests, key=lambda model: model.__name__)),
    ]
    by_mode, document = models_json_schema(wanted, ref_template=_REF)
    return {model: schema for (model, _), schema in by_mode.items()}, document["$defs"]


def _describe(operation: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {str(operation.status): _success(operation, refs), **_errors(operation, refs)},
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body, refs)}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, (_, schema) in PATH_PARAMETERS.items()
        if f"{{{name}}}" in operation.path
    ]
    if operation.query is not None:
        schema = operation.query.model_json_schema()
        definitions = schema.get("$defs", {})
        for name, field in schema["properties"].items():
            found.append({"name": name, "in": "query", "required": False, **_parameter(field, definitions)})
    for name, text in operation.headers.items():
        found.append(
            {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        )
    return found


def _parameter(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A query parameter; an absent one is absent, so that null is not among its types."""
    field = {name: value for name, value in field.items() if name != "title"}
    description = field.pop("description", "")
    types = [kind for kind in field.pop("anyOf", []) if kind.get("type") != "null"]
    for kind in types:
        reference = kind.pop("$ref", None)
        field |= definitions[reference.rsplit("/", 1)[1]] if reference else kind
    if field.get("default", 0) is None:
        del field["default"]
    return {"description": description, "schema": field}


def _content(body: Body, refs: Mapping[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if body.form is not None:
        schema = body.form.model_json_schema()
        properties = dict(schema.get("properties", {}))
        for part in body.files:
            file = {"type": "string", "contentMediaType": "application/octet-stream", "description": part.description}
            properties[part.name] = (
                {"type": "array", "items": file, "minItems": 1, "description": part.description} if part.many else file
            )
        content["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "properties": properties,
                "required": [*schema.get("required", []), *(part.name for part in body.files)],
                "additionalProperties": False,
            }
        }
    if body.json is not None:
        content["application/json"] = {"schema": refs[body.json]}
    return content


def _success(operation: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content["application/json"] = {"schema": refs[operation.answer]}
    for media_type in operation.media_types:
        content[media_type] = {"schema": {} if media_type == "application/json" else {"type": "string"}}
    described: dict[str, Any] = {"description": "Nothing." if operation.status == 204 else operation.summary}
    return {**described, "content": content} if content else described


def _errors(operation: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*COMMON_ERRORS, *operation.errors)):
        by_status.setdefault(STATUSES[code], []).append(f"{code}: {CODES[code]}")
    content = {"application/json": {"schema": refs[ErrorAnswer]}}
    return {
        str(status): {"description": " ".join(by_status[status]), "content": content} for status in sorted(by_status)
    }
