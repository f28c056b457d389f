"""The routes of predecessor 000. Both ports serve all of them: what a `POST /` means is told by what it holds."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from flask import Flask, Response
from flask.globals import request
from pydantic import BaseModel, ConfigDict

from api.compat.base import make_base
from api.compat.frames_and_faces.faces import find_faces
from api.compat.frames_and_faces.frames import CONTENT_TYPE, Encoding, FrameForm, answer, read_request
from api.compat.jsonpickled import read_text
from api.services import Services, services
from api.uploads import FilePart, read_multipart
from common.errors import BadInputError

_VIDEO = FilePart("video", "The video file.", holds="media")
_IMAGE = FilePart("image", "A Pillow image as jsonpickle text.")


class _NoFields(BaseModel):
    model_config = ConfigDict(extra="ignore")


def make_app(here: Services) -> Flask:
    """The app, on these services."""
    app = make_base("facepipe-000", here, render_error=_render_error)
    app.add_url_rule("/", "either", _either, methods=["POST"])
    app.add_url_rule("/extract-frames", "extract_frames", _extract_frames, methods=["POST"])
    app.add_url_rule("/face-analysis", "face_analysis", _face_analysis, methods=["POST"])
    return app


def _either() -> Response:
    """Later versions of both servers: JPEG frames of a `video`, or faces of an `image`."""
    document = _json_body()
    if "image" in document:
        return _faces(document["image"])
    if "video" in document:
        return _frames_of(document, "jpeg")
    raise BadInputError("Send `video`, fps_max, width_max and height_max for frames, or `image` for faces.")


def _extract_frames() -> Response:
    """The first version of video2frames: frames as Pillow images."""
    if request.is_json:
        return _frames_of(_json_body(), "rgb")
    here = services()
    form, files = read_multipart(FrameForm, (_VIDEO,), here.settings.api)
    return _frames(form, files["video"][0].commit, "rgb")


def _face_analysis() -> Response:
    """The first version of the insightface server."""
    if request.is_json:
        return _faces(_json_body().get("image"))
    here = services()
    limits = here.settings.api.model_copy(update={"max_image_bytes": here.settings.compat_max_body_bytes})
    _, files = read_multipart(_NoFields, (_IMAGE,), limits)
    key = f"calls/{uuid.uuid4().hex}"
    try:
        files["image"][0].commit(key)
        text = here.blobs.read(key)
    finally:
        here.blobs.delete(key)
    return _faces(read_text(text))


def _frames_of(document: dict[str, Any], encoding: Encoding) -> Response:
    form, video = read_request(document)
    blobs = services().blobs
    return _frames(form, lambda key: blobs.put(key, video), encoding)


def _frames(form: FrameForm, store: Callable[[str], None], encoding: Encoding) -> Response:
    here = services()
    wanted = form.extract(encoding, max_bytes=here.settings.compat_max_frames_bytes)
    return answer(here.pools.extract(store, wanted, timeout_s=here.settings.compat_timeout_s), encoding)


def _faces(picture: Any) -> Response:
    return Response(json.dumps(find_faces(services(), picture)), content_type=CONTENT_TYPE)


def _json_body() -> dict[str, Any]:
    if not request.is_json:
        raise BadInputError("Send JSON, with Content-Type: application/json.", "unsupported_media_type")
    request.max_content_length = services().settings.compat_max_body_bytes
    return read_text(request.get_data(cache=False))


def _render_error(message: str, status: int) -> Response:
    return Response(json.dumps({"error": message}), status, content_type=CONTENT_TYPE)
