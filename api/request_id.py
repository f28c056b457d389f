"""Request ids: taken from the caller or made here, given back in every answer and in the log."""

import re
import uuid

from flask import Response, g, request

HEADER = "X-Request-ID"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def assign_request_id() -> None:
    """Before a request: the caller's id if it is plain, else a new one."""
    asked = request.headers.get(HEADER, "")
    g.request_id = asked if _WELL_FORMED.fullmatch(asked) else uuid.uuid4().hex


def stamp_request_id(response: Response) -> Response:
    """After a request: say its id."""
    response.headers[HEADER] = current_request_id()
    return response


def current_request_id() -> str:
    """Id of the request under way."""
    return str(g.get("request_id", ""))
