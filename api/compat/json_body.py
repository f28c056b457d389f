"""The plain JSON of a request, whatever its Content-Type: old clients send it on a GET, or under no type at all."""

from typing import Any

from flask.globals import request

from api.compat.jsonpickled import parse_json
from api.services import services


def read_json() -> Any:
    """The document in the body of the current request.

    Raises:
        BadInputError: not JSON, nested too deep, or too many values.
        RequestEntityTooLarge: more than `compat_max_body_bytes`.
    """
    request.max_content_length = services().settings.compat_max_body_bytes
    return parse_json(request.get_data(cache=False))
