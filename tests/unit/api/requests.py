"""Shorthand for requests and for what they must answer."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

BOX = [10.0, 10.0, 110.0, 130.0]
LANDMARKS = [[40.0, 50.0], [80.0, 50.0], [60.0, 75.0], [45.0, 100.0], [75.0, 100.0]]


def a_face(box: Sequence[float] = BOX, sharpness: float = 0.5, frontality: float = 0.7, **more: Any) -> dict[str, Any]:
    """A face as the pools describe it."""
    return {
        "box": list(box),
        "det_score": 0.9,
        "landmarks": LANDMARKS,
        "quality": 0.7,
        "sharpness": sharpness,
        "frontality": frontality,
        "embedding": [1.0, 0.0],
        "crop": "anBlZw==",
        **more,
    }


def a_picture(*faces: dict[str, Any], model_id: str = "test-model") -> bytes:
    """A picture that the `pool` fixture reads."""
    return json.dumps({"width_px": 640, "height_px": 480, "model_id": model_id, "faces": list(faces)}).encode()


def a_bad_picture(code: str) -> bytes:
    """A picture that the `pool` fixture refuses."""
    return json.dumps({"error": [code, f"It is {code}."]}).encode()


def a_file(data: bytes = b"media", name: str = "file.bin") -> tuple[io.BytesIO, str]:
    """A file part for Flask's test client."""
    return io.BytesIO(data), name


def check_error(response: TestResponse, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The one error shape; returns the document."""
    document: dict[str, Any] = response.get_json()
    assert response.status_code == status, document
    assert response.mimetype == "application/json"
    assert set(document) >= {"error", "request_id"}
    assert set(document["error"]) <= {"code", "message", "field"}
    assert document["error"]["code"] == code, document
    assert document["error"]["message"].endswith(".")
    assert document["error"].get("field") == field, document
    assert response.headers["X-Request-ID"] == document["request_id"]
    assert ("Retry-After" in response.headers) == (status in {429, 503})
    return document


def stored_files(home: Path) -> list[str]:
    """Everything in the blob store, unfinished uploads included."""
    blobs = home / "blobs"
    return sorted(str(path.relative_to(blobs)) for path in blobs.rglob("*") if path.is_file())
