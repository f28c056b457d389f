"""What the apps of all predecessors have in common: requests are received safely, and errors are never HTML."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from api.compat.reach import Reach
from api.errors import STATUSES
from api.request_id import assign_request_id, current_request_id, stamp_request_id
from api.services import EXTENSION, Services
from api.uploads import upload_request_class
from common.errors import FacepipeError, TransientError

log = logging.getLogger("facepipe.compat")

Render = Callable[[str, int], Response]
"""Message and status to an error answer in the shape of one predecessor."""

_RETRY_AFTER_S: Final = "5"


def make_base(name: str, services: Services, *, render_error: Render) -> Flask:
    """An app without routes.

    Args:
        name: of the app, for logs.
        services: what its views find by `api.services.services`.
        render_error: every refusal and failure goes through it.
    """
    app = Flask(name, static_folder=None)
    app.extensions[EXTENSION] = services
    app.request_class = upload_request_class(services.blobs)
    app.url_map.merge_slashes = False

    def answer(error: Exception) -> Response:
        message, status = describe(error)
        response = render_error(message, status)
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            response.headers["Retry-After"] = _RETRY_AFTER_S
        if isinstance(error, HTTPException):
            allowed = [value for header, value in error.get_headers() if header == "Allow"]
            response.headers.extend({"Allow": ", ".join(allowed)} if allowed else {})
        return response

    app.before_request(assign_request_id)
    app.before_request(Reach(services).check)
    app.after_request(stamp_request_id)
    app.register_error_handler(Exception, answer)
    return app


def describe(error: Exception) -> tuple[str, int]:
    """What a client may know of an error, and its status. A defect is told to the log alone."""
    if isinstance(error, HTTPException) and (error.code or 500) < HTTPStatus.INTERNAL_SERVER_ERROR:
        return error.description or error.name, error.code or 500
    if isinstance(error, FacepipeError) and STATUSES[error.code] < HTTPStatus.INTERNAL_SERVER_ERROR:
        return error.message, STATUSES[error.code]
    context = {"request_id": current_request_id()}
    if isinstance(error, TransientError) or (isinstance(error, FacepipeError) and error.code != "internal"):
        log.warning("%s", error, extra=context)
        return "A part of the server is away; try again later.", STATUSES[error.code]
    log.error("a request failed by a defect", exc_info=error, extra=context)
    return f"This is a defect in facepipe; its log has the trace under {current_request_id()}.", 500
