"""One error shape on every path: `{"error": {"code", "message", "field"?}, "request_id"}`."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from api.request_id import current_request_id
from common.errors import BadInputError, FacepipeError, OverloadedError, TransientError

log = logging.getLogger("facepipe.api")

STATUSES: Final[Mapping[str, int]] = {
    "bad_input": 400,
    "bad_media": 400,
    "empty_file": 400,
    "no_video_stream": 400,
    "truncated_media": 400,
    "too_large": 413,
    "no_face": 422,
    "several_faces": 422,
    "face_too_small": 422,
    "face_too_blurred": 422,
    "face_turned_away": 422,
    "forbidden_url": 400,
    "fetch_failed": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "unsupported_media_type": 415,
    "conflict": 409,
    "model_mismatch": 409,
    "no_attribute_model": 409,
    "idempotency_mismatch": 409,
    "overloaded": 429,
    "unavailable": 503,
    "deadline_exceeded": 503,
    "worker_lost": 503,
    "cancelled": 409,
    "internal": 500,
}

_RETRY_AFTER_S = 5
_HTTP_CODES = {
    404: ("not_found", "There is nothing at this address; /docs lists what there is."),
    405: ("method_not_allowed", "This path does not answer that method; see the Allow header."),
    413: ("too_large", "The request is larger than this call may be."),
    415: ("unsupported_media_type", "The request body has the wrong content type."),
}


class NoUsableFaceError(BadInputError):
    """None of the images can be enrolled.

    Args:
        rejected: why, image by image, as documents.
    """

    def __init__(self, message: str, code: str, rejected: list[dict[str, Any]]) -> None:
        super().__init__(message, code, "images")
        self.rejected = rejected


class NotReadyError(TransientError):
    """Parts of the server are away.

    Args:
        missing: which ones.
    """

    def __init__(self, missing: list[str]) -> None:
        super().__init__(f"Not ready; missing: {', '.join(missing)}.")
        self.missing = missing


def install_error_handlers(app: Flask) -> None:
    """Give every failure of `app` the one shape."""
    app.register_error_handler(FacepipeError, _answer_ours)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_defect)


def error_document(error: FacepipeError, request_id: str | None = None) -> dict[str, Any]:
    """The body of an error answer; outside of a request, say which one it was."""
    return {"error": error.to_wire(), "request_id": current_request_id() if request_id is None else request_id}


def _answer_ours(error: FacepipeError) -> Response:
    status = STATUSES[error.code]
    document = error_document(error)
    headers: dict[str, str] = {}
    if isinstance(error, NoUsableFaceError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        document["rejected"] = error.rejected
    elif isinstance(error, NotReadyError):
        document["missing"] = error.missing
    elif isinstance(error, TransientError):  # its message tells of addresses and drivers: for the log alone
        log.warning("%s", error, extra={"request_id": current_request_id()})
        document["error"]["message"] = "A part of the server is away; try again later."
    elif status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _answer_defect(error)
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        retry_after_s = error.retry_after_s if isinstance(error, OverloadedError) else _RETRY_AFTER_S
        headers["Retry-After"] = str(retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="facepipe"'
    return _respond(status, document, headers)


def _answer_http(error: HTTPException) -> Response:
    """What Flask and Werkzeug refuse by themselves."""
    status = error.code or 500
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _answer_defect(error)
    default = ("bad_input", error.description or HTTPStatus(status).phrase)
    code, message = _HTTP_CODES.get(status, default)
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return _respond(status, error_document(FacepipeError(message, code)), headers)


def _answer_defect(error: Exception) -> Response:
    log.error("a request failed by a defect", exc_info=error, extra={"request_id": current_request_id()})
    message = "This is a defect in facepipe; the server's log has the trace under this request id."
    return _respond(500, error_document(FacepipeError(message, "internal")), {})


def _respond(status: int, document: dict[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(json.dumps(document), status=status, mimetype="application/json", headers=dict(headers))
