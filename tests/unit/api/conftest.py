"""The API in this process, on the real database and broker, with blobs in a temporary folder."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.services import EXTENSION, Services
from common.contracts import Message
from common.settings import Settings
from tests.unit.api.answering import answering_pools

MODEL_ID = "test-model"
MIN_SIMILARITY = 0.4


def write_pack(folder: Path, *, has_attributes: bool = False) -> None:
    """A model pack whose manifest alone matters: the API never opens the weights."""
    file = {
        "sha256": "0" * 64,
        "bytes": 1,
        "origin": "none",
        "input": {"side_px": 112, "mean": 127.5, "std": 127.5},
    }
    detector = {"name": "det.onnx", "task": "detection", "contract": "scrfd", "min_det_score": 0.5, "nms_iou": 0.4}
    embedder = {
        "name": "rec.onnx",
        "task": "embedding",
        "contract": "arcface",
        "dim": 2,
        "model_id": MODEL_ID,
        "min_similarity": {"1e-3": MIN_SIMILARITY},
    }
    guesser = {"name": "attr.onnx", "task": "attributes", "contract": "genderage"}
    models = [detector, embedder, *([guesser] if has_attributes else [])]
    manifest = {
        "format": 1,
        "name": folder.name,
        "version": "1",
        "description": "For tests.",
        "licence": {"name": "none", "commercial_use": True, "notice": "For tests."},
        "files": [{**model, **file} for model in models],
    }
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    write_pack(tmp_path / "models" / "test-pack")
    return Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": database_url,
            "redis_url": redis_url,
            "model_pack": "test-pack",
            "api": {"max_image_bytes": 5000, "max_media_bytes": 200_000, "max_images": 4, "call_timeout_s": 20},
        }
    )


@pytest.fixture
def make_app(settings: Settings) -> Iterator[Callable[..., Flask]]:
    """Makes an app with some settings changed."""
    apps: list[Flask] = []

    def make(**changes: Any) -> Flask:
        app = create_app(settings.model_copy(update=changes))
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.extensions[EXTENSION].changes.close()
        app.extensions[EXTENSION].database.close()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions[EXTENSION]
    return found


@pytest.fixture
def pool(services: Services, redis_url: str) -> Iterator[list[Message]]:
    """See `answering_pools`."""
    with answering_pools(services, redis_url) as taken:
        yield taken
