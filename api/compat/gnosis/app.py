"""The routes of predecessor 001."""

import base64
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response

from api.compat.base import make_base
from api.compat.gnosis import streams
from api.compat.gnosis.faces import Face, describe, encode, inside, recognise
from api.compat.gnosis.forms import Part, UnprocessableError, read_form, read_upload
from api.compat.gnosis.openapi import DOCUMENT
from api.docs_page import render_docs
from api.services import Services, services
from common.contracts import Options, Stage
from common.errors import BadInputError
from common.gnosis.dataset import read_dataset
from common.gnosis.vote import bound_for

_FILE: Final = Part("file", "file")
_PICTURE: Final = "return_img_b64"


def make_app(here: Services) -> Flask:
    """The app, on these services."""
    app = make_base("facepipe-001", here, render_error=_render_error)
    app.register_error_handler(UnprocessableError, _answer_unprocessable)
    app.add_url_rule("/encoder/image", "encode_image", _encode_image, methods=["POST"])
    app.add_url_rule("/encoder/images", "encode_images", _encode_images, methods=["POST"])
    app.add_url_rule("/detector/image", "detect_image", _detect_image, methods=["POST"])
    app.add_url_rule("/recognizer/image", "recognise_image", _recognise_image, methods=["POST"])
    for path in ("/docs", "/redoc"):
        app.add_url_rule(path, path, _docs, methods=["GET"])
    app.add_url_rule("/openapi.json", "openapi", _openapi, methods=["GET"])
    streams.add_rules(app)
    return app


def _encode_image() -> Response:
    form, _ = read_form(_FILE)
    (answer,) = services().pools.ask(form.files["file"], until="embed", options=Options())
    return _answer(encode(answer))


def _encode_images() -> Response:
    """Several pictures of one person; those without a face are left out."""
    form, _ = read_form(Part("key", "text"), Part("files", "files"))
    answers = services().pools.ask(form.files["files"], until="embed", options=Options())
    encoded = [{"img": number, "embedding": encode(answer)} for number, answer in enumerate(answers)]
    return _answer({form.texts["key"]: [row for row in encoded if row["embedding"] is not None]})


def _detect_image() -> Response:
    form, flags = read_form(_FILE, flags=[_PICTURE])
    picture = read_upload(form.files["file"][0])
    faces = _find(picture, until="detect")
    return _faces(picture, faces, list(range(len(faces))), with_picture=flags[_PICTURE])


def _recognise_image() -> Response:
    """Who the faces are, by a data set that comes along and is forgotten with the answer."""
    form, flags = read_form(_FILE, Part("dataset", "file"), flags=[_PICTURE])
    dataset = read_dataset(read_upload(form.files["dataset"][0]))
    picture = read_upload(form.files["file"][0])
    faces = inside(_find(picture, until="embed"))
    labels = recognise(faces, dataset, above=bound_for(services().models.active.embedder))
    return _faces(picture, faces, labels, with_picture=flags[_PICTURE])


def _find(picture: bytes, *, until: Stage) -> list[Face]:
    (answer,) = services().pools.ask_files([picture], until=until, options=Options())
    if isinstance(answer, BadInputError):
        raise answer
    return list(answer["faces"])


def _faces(picture: bytes, faces: Sequence[Face], labels: Sequence[int | str], *, with_picture: bool) -> Response:
    found = [describe(face, label) for face, label in zip(faces, labels, strict=True)]
    document: dict[str, Any] = {"faces": found}
    if with_picture:
        drawn = [
            {"box": face["box"], "landmarks": face["landmarks"], "label": str(label)}
            for face, label in zip(faces, labels, strict=True)
        ]
        document["img_b64"] = base64.b64encode(services().pools.annotate(picture, drawn)).decode()
    return _answer(document)


def _docs() -> Response:
    return Response(render_docs(DOCUMENT), mimetype="text/html")


def _openapi() -> Response:
    return _answer(DOCUMENT)


def _answer_unprocessable(error: UnprocessableError) -> Response:
    return _answer({"detail": error.problems}, HTTPStatus.UNPROCESSABLE_ENTITY)


def _render_error(message: str, status: int) -> Response:
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return _answer({"detail": HTTPStatus(status).phrase}, status)
    return _answer({"error": message}, status)


def _answer(document: Any, status: int = HTTPStatus.OK) -> Response:
    return Response(json.dumps(document, ensure_ascii=False), status, mimetype="application/json")
