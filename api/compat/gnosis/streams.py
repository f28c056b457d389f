"""The stream routes of predecessor 001: WebRTC offers, which the process of live streams answers.

Video never comes near this process. That other one runs where its library is installed; elsewhere these routes say so.
"""

import json
from http import HTTPStatus
from typing import Final

from flask import Flask, Response

from api.compat.gnosis.forms import Form, Part, read_form, read_upload
from api.services import services
from common.contracts import LIVE
from common.errors import BadInputError
from common.gnosis.dataset import read_dataset

_MISSING: Final = (
    "Live streams need WebRTC, and the process that speaks it is not running: install it with `make live` and start the"
    " server again."
)
_OFFER: Final = (Part("sdp", "text"), Part("sdp_type", "text"))
_LONGEST_SDP: Final = 256 << 10


def add_rules(app: Flask) -> None:
    """Add the routes."""
    app.add_url_rule("/detector/stream", "detect_stream", _detect_stream, methods=["POST"])
    app.add_url_rule("/recognizer/stream", "recognise_stream", _recognise_stream, methods=["POST"])


def _detect_stream() -> Response:
    form, _ = read_form(*_OFFER)
    return _answer(form, None)


def _recognise_stream() -> Response:
    """The data set holds for this stream alone."""
    form, _ = read_form(*_OFFER, Part("dataset", "file"))
    dataset = read_upload(form.files["dataset"][0])
    read_dataset(dataset)  # refused here, where its sender hears of it at once
    return _answer(form, dataset)


def _answer(form: Form, dataset: bytes | None) -> Response:
    sdp, kind = form.texts["sdp"], form.texts["sdp_type"]
    if kind != "offer":
        raise BadInputError(f"sdp_type must be `offer`, not {kind[:40]!r}.", field="sdp_type")
    if len(sdp) > _LONGEST_SDP:
        raise BadInputError(f"The offer is longer than {_LONGEST_SDP} characters.", "too_large", "sdp")
    if not services().workers.alive().get(LIVE):
        return _render({"error": _MISSING}, HTTPStatus.SERVICE_UNAVAILABLE)
    return _render(services().pools.offer(sdp, dataset))


def _render(document: object, status: int = HTTPStatus.OK) -> Response:
    return Response(json.dumps(document), status, mimetype="application/json")
