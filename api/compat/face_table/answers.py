"""How 002 and 003 answer: compact JSON with sorted keys, or plain sentences as HTML, byte for byte."""

import json
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response

INVALID: Final = "Invalid request."


class RefusedError(Exception):
    """Ends a request with a documented text.

    Attributes:
        text: what the client reads.
        status: of the answer.
        key: under which the text stands.
    """

    def __init__(self, text: str, status: int = HTTPStatus.BAD_REQUEST, key: str = "error") -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.key = key


def json_answer(document: Any, status: int = HTTPStatus.OK) -> Response:
    """A document."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Response(f"{text}\n", status, content_type="application/json")


def text_answer(text: str, status: int = HTTPStatus.OK) -> Response:
    """A sentence or a banner."""
    return Response(text, status, content_type="text/html; charset=utf-8")


def render_error(message: str, status: int) -> Response:
    """What none of the documented texts fits."""
    return json_answer({"error": message}, status)


def render_refusals(app: Flask) -> None:
    """Have every `RefusedError` of a view answered."""

    def render(error: RefusedError) -> Response:
        return json_answer({error.key: error.text}, error.status)

    app.register_error_handler(RefusedError, render)
