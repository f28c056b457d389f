"""The node that made vectors of face crops for the main servers of 002 and 003, on a port of its own."""

import json
from typing import Any, Final

from flask import Flask, Response
from pydantic import BaseModel, ConfigDict

from api.compat.face_table.answers import INVALID, RefusedError, text_answer
from api.compat.jsonpickled import parse_json
from api.largest_face import largest_face
from api.services import services
from api.uploads import FilePart, read_multipart
from common.calls import Answer
from common.contracts import Options
from common.errors import BadInputError, OverloadedError, TransientError
from common.wide_embedding import widen

#: The main servers send ten.
_MAX_CROPS: Final = 64
_CROPS: Final = FilePart("image", "Pictures of one face each.", many=True)


class _FaceData(BaseModel):
    model_config = ConfigDict(extra="ignore")

    face_data: str


def add_rules(app: Flask) -> None:
    """Add the routes but the banner, which depends on the port."""
    app.add_url_rule("/extract_feature", "node.extract_feature", _extract_feature, methods=["POST"])
    app.add_url_rule("/load_model", "node.load_model", _load_model, methods=["GET"])


def banner() -> Response:
    """What the node says of itself."""
    return text_answer("<h1 style='color:blue'>Feature extraction server is running!</h1>")


def _load_model() -> Response:
    """The pools have it loaded."""
    return text_answer("<h1 style='color:blue'>Feature extraction model has been loaded.</h1>")


def _extract_feature() -> Response:
    """A vector for each crop; an empty one where no face is found in it."""
    here = services()
    limits = here.settings.api.model_copy(update={"max_images": _MAX_CROPS})
    form, files = read_multipart(_FaceData, (_CROPS,), limits)
    crops = files["image"]
    faces = parse_json(form.face_data.encode())
    is_list = isinstance(faces, list) and all(isinstance(face, dict) and "id" in face for face in faces)
    if not is_list or len(faces) != len(crops):
        raise RefusedError(INVALID)
    try:
        answers = here.pools.ask(crops, until="embed", options=Options())
    except (OverloadedError, TransientError) as error:
        raise RefusedError("Feature extraction node is not running.", 500) from error
    vectors = [{"id": face["id"], "vector": _vector(answer)} for face, answer in zip(faces, answers, strict=True)]
    return text_answer(json.dumps(vectors))


def _vector(answer: Answer | BadInputError) -> list[Any]:
    if isinstance(answer, BadInputError) or not answer["faces"]:
        return []
    vector: list[Any] = widen(largest_face(answer["faces"], "image")["embedding"]).tolist()
    return vector
