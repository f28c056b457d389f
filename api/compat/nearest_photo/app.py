"""The routes of predecessor 004: pictures come as whole bodies, answers are JSON with sorted keys."""

import json
from typing import Any, Final

from flask import Flask, Response
from flask.globals import request

from api.compat.base import make_base
from api.compat.nearest_photo.album import GALLERY, Album
from api.compat.nearest_photo.folder import take_up
from api.errors import NotReadyError
from api.readiness import missing_parts
from api.request_id import current_request_id
from api.services import Services, services
from common.errors import BadInputError
from common.store.audit import Entry, auditing

#: Reported where there is nothing to compare: farther than any two photographs can be.
_NO_DISTANCE: Final = "100"


def make_app(here: Services) -> Flask:
    """The app, on these services; takes up the operator's folder of photographs meanwhile.

    Raises:
        ConfigurationError: the folder is not there.
    """
    app = make_base("facepipe-004", here, render_error=_render_error)
    app.add_url_rule("/test", "test", _test, methods=["GET"])
    app.add_url_rule("/user/<username>", "register", _register, methods=["POST"])
    app.add_url_rule("/detect", "detect", _detect, methods=["POST"])
    if (folder := here.settings.compat_004_db) is not None:
        take_up(folder, here)
    return app


def _test() -> Response:
    """Success as soon as faces could be recognised: as readiness probe it keeps clients away until then."""
    if missing := missing_parts(services()):
        raise NotReadyError(missing)
    return Response(json.dumps({"message": "test success"}), mimetype="text/html")


def _register(username: str) -> Response:
    with auditing(Entry("enroll", "", current_request_id(), GALLERY)):
        answer = Album(services()).register(username, _picture())
    # the client looks for `dist` in every answer
    return _respond({"dist": "0", "message": _received(answer["width_px"], answer["height_px"]), "name": username})


def _detect() -> Response:
    here = services()
    with auditing(Entry("search", "", current_request_id(), GALLERY)):
        found = Album(here).find(_picture())
        here.audit.record(subject_ids=[] if found.subject_id is None else [found.subject_id], counts={"faces": 1})
    return _respond(
        {
            "dist": _NO_DISTANCE if found.distance is None else str(round(found.distance, 6)),
            "message": _received(found.width_px, found.height_px),
            "name": found.name,
        }
    )


def _picture() -> bytes:
    request.max_content_length = services().settings.api.max_image_bytes
    picture = request.get_data(cache=False, parse_form_data=False)
    if not picture:
        raise BadInputError(
            "Send the picture itself as the body: curl --data-binary @FILE -H 'Content-Type: image/jpeg'.", "empty_file"
        )
    return picture


def _received(width_px: int, height_px: int) -> str:
    return f"image received. size={width_px}x{height_px}"


def _respond(document: dict[str, Any]) -> Response:
    return Response(json.dumps(document, sort_keys=True), mimetype="application/json")


def _render_error(message: str, status: int) -> Response:
    return Response(json.dumps({"error": message}), status, mimetype="application/json")
