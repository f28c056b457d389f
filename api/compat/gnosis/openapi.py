"""What `/docs`, `/redoc` and `/openapi.json` say of the routes: the names and shapes of the original."""

from collections.abc import Mapping
from typing import Any, Final

_FILE: Final = {"type": "string", "format": "binary"}
_TEXT: Final = {"type": "string"}
_NUMBERS: Final = {"type": "array", "items": {"type": "number"}, "minItems": 512, "maxItems": 512}
_FLAG: Final = {
    "name": "return_img_b64",
    "in": "query",
    "required": False,
    "description": "Whether the picture comes back with its faces drawn in.",
    "schema": {"type": "boolean", "default": False},
}
_DATASET: Final = {
    **_FILE,
    "description": 'JSON: [["<label>", "<512 numbers, by commas>"], …], or'
    ' {"<label>": [{"img": …, "embedding": [512 numbers]}, …], …}.',
}

_SCHEMAS: Final = {
    "Embedding": {**_NUMBERS, "nullable": True, "description": "Of the largest face; null when there is none."},
    "EncodedImages": {
        "type": "object",
        "description": "Under the key that was sent: the pictures that have a face.",
        "properties": {"<key>": {"type": "array", "items": {"$ref": "#/components/schemas/EncodedImage"}}},
    },
    "EncodedImage": {
        "type": "object",
        "description": "`img` counts the files from 0.",
        "properties": {"img": {"type": "integer"}, "embedding": _NUMBERS},
    },
    "Faces": {
        "type": "object",
        "description": "Best first; the picture is a JPEG, and there only when it was asked for.",
        "properties": {
            "faces": {"type": "array", "items": {"$ref": "#/components/schemas/Face"}},
            "img_b64": {**_TEXT, "description": "base64"},
        },
    },
    "Face": {
        "type": "object",
        "description": "`label` is a number after a detection, a name (or Uknown) after a recognition; `bbox` is"
        " x1, y1, x2, y2 and the score.",
        "properties": {
            "label": {"anyOf": [{"type": "integer"}, _TEXT]},
            "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 5, "maxItems": 5},
        },
    },
    "Session": {
        "type": "object",
        "description": "The answer of a WebRTC session; the video comes back with its faces drawn in.",
        "properties": {"sdp": _TEXT, "type": _TEXT},
    },
    "HTTPValidationError": {
        "type": "object",
        "description": "What is missing or wrong.",
        "properties": {"detail": {"type": "array", "items": {"$ref": "#/components/schemas/ValidationError"}}},
    },
    "ValidationError": {
        "type": "object",
        "required": ["loc", "msg", "type"],
        "properties": {
            "loc": {"type": "array", "items": {"anyOf": [_TEXT, {"type": "integer"}]}},
            "msg": _TEXT,
            "type": _TEXT,
        },
    },
    "Error": {"type": "object", "description": "Anything else that is wrong.", "properties": {"error": _TEXT}},
}


def _post(
    tag: str,
    summary: str,
    parts: Mapping[str, Mapping[str, Any]],
    answer: str,
    *,
    parameters: tuple[Mapping[str, Any], ...] = (),
) -> dict[str, Any]:
    responses = {
        "200": _response("Successful Response", answer),
        "400": _response("Wrong picture or data set", "Error"),
        "422": _response("Validation Error", "HTTPValidationError"),
    }
    body = {"type": "object", "required": list(parts), "properties": dict(parts)}
    return {
        "post": {
            "tags": [tag],
            "summary": summary,
            "operationId": summary.lower().replace(" ", "_"),
            "parameters": list(parameters),
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}},
            "responses": responses,
        }
    }


def _response(description: str, schema: str) -> dict[str, Any]:
    reference = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"description": description, "content": {"application/json": reference}}


DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.0.2",
    "info": {
        "title": "Gnosis Recognition API",
        "version": "1.1.0",
        "description": "Served by facepipe for clients of gnosis-recognizer-service.",
    },
    "paths": {
        "/encoder/image": _post("Encoder", "Encode Image", {"file": _FILE}, "Embedding"),
        "/encoder/images": _post(
            "Encoder", "Encode Images", {"key": _TEXT, "files": {"type": "array", "items": _FILE}}, "EncodedImages"
        ),
        "/detector/image": _post("Detector", "Detect Image", {"file": _FILE}, "Faces", parameters=(_FLAG,)),
        "/detector/stream": _post("Detector", "Detect Stream", {"sdp": _TEXT, "sdp_type": _TEXT}, "Session"),
        "/recognizer/image": _post(
            "Recognizer", "Recognize Image", {"file": _FILE, "dataset": _DATASET}, "Faces", parameters=(_FLAG,)
        ),
        "/recognizer/stream": _post(
            "Recognizer", "Recognize Stream", {"sdp": _TEXT, "sdp_type": _TEXT, "dataset": _DATASET}, "Session"
        ),
    },
    "components": {"schemas": _SCHEMAS},
}
