"""The document says what is served, all of it and nothing else."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import OPERATIONS

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def described(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_route_is_described_and_every_description_is_routed(app: Flask, document: dict[str, Any]) -> None:
    routed = {
        (re.sub(r"<[^>]*:(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routed == {(path, method) for path, method, _ in described(document)}


def test_path_parameters_are_those_of_the_path(document: dict[str, Any]) -> None:
    for path, _, operation in described(document):
        named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_every_operation_has_a_name_a_summary_and_its_errors(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in described(document)]
    assert len(set(names)) == len(names)
    for path, _, operation in described(document):
        assert operation["summary"].endswith(".")
        responses = operation["responses"]
        assert {"400", "401", "500", "503"} <= set(responses)
        assert ("404" in responses) == ("{" in path or operation["operationId"] in {"submit_job", "search_footage"})
        if "requestBody" in operation:
            assert {"413", "415"} <= set(responses)
        for status, answer in responses.items():
            if int(status) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    found = set(references(document))
    assert found
    assert {reference.removeprefix("#/components/schemas/") for reference in found} <= set(schemas)


def test_forms_describe_their_files_and_refuse_the_unknown(document: dict[str, Any]) -> None:
    form = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["media"]
    assert form["additionalProperties"] is False
    assert set(form["properties"]) == {
        "media",
        "gallery",
        "sample_fps",
        "min_similarity",
        "min_margin",
        "limit",
        "attributes",
        "priority",
        "webhook_url",
    }
    link = document["components"]["schemas"]["JobLink"]
    assert link["required"] == ["media_url"]
    assert link["additionalProperties"] is False


def test_keys_are_asked_for_only_where_they_are_needed(
    make_app: Callable[..., Flask], document: dict[str, Any]
) -> None:
    assert "security" not in document
    public = make_app(host="0.0.0.0")
    _, token = public.extensions["facepipe"].keys.create("test")
    answer = public.test_client().get("/openapi.json", headers={"Authorization": f"Bearer {token}"}).get_json()
    assert answer["security"] == [{"key": []}]
    assert answer["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_the_page_shows_every_call_and_loads_nothing(client: FlaskClient, document: dict[str, Any]) -> None:
    response = client.get("/docs")
    assert response.mimetype == "text/html"
    for path, _, operation in described(document):
        assert f"<code>{path}</code>" in response.text
        assert f'id="{operation["operationId"]}"' in response.text
    assert not re.search(r"(src|href)=\"(https?:)?//", response.text)
    assert "<script" not in response.text
    anchors = set(re.findall(r'href="#(\w+)"', response.text))
    assert anchors <= set(re.findall(r'id="(\w+)"', response.text))


def test_the_reference_names_every_call() -> None:
    text = (ROOT / "docs" / "reference" / "http.md").read_text()
    missing = [
        f"{operation.method} {operation.path}"
        for operation in OPERATIONS
        if f"{operation.method} {operation.path}`" not in text
    ]
    assert missing == []


def test_the_document_is_plain_json(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert json.loads(json.dumps(document, allow_nan=False)) == document
