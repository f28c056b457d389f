"""Faces of a picture, with the numpy types that clients of the insightface server unpack."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from api.compat.jsonpickled import RawPicture, read_picture, write_array, write_scalar
from api.compat.png import write_png
from api.services import Services
from common.contracts import Options
from common.errors import BadInputError
from common.wide_embedding import widen

_MAX_PX: Final = 50_000_000
_GENDERS: Final[Mapping[str, np.int64]] = {"male": np.int64(1), "female": np.int64(0)}


def find_faces(services: Services, picture: Any) -> dict[str, Any]:
    """The answer for a picture as it came in, in any of its documented forms.

    The picture is not turned by its EXIF orientation: boxes are in the pixels that were sent.

    Returns:
        The faces under the keys of both versions of the server, best first.
    Raises:
        BadInputError: no picture, or a form that is not read.
        FacepipeError: the pools are away.
    """
    max_px = min(_MAX_PX, services.settings.decode.max_image_px)
    given = read_picture(picture, "image", max_px=max_px)
    file = write_png(given) if isinstance(given, RawPicture) else given
    options = Options(attributes=services.has_attributes)
    (answer,) = services.pools.ask_files([file], until="embed", options=options, upright=False)
    if isinstance(answer, BadInputError):
        raise BadInputError(answer.message, answer.code, "image")
    faces = [describe_face(face) for face in answer["faces"]]
    return {"fa_results": faces, "face_detection_recognition": faces}


def describe_face(face: Mapping[str, Any]) -> dict[str, Any]:
    """One face of the pools' answer in the original types; `age` and `gender` are null where nothing guesses them."""
    guess = face.get("attributes")
    landmarks = face["landmarks"]
    return {
        "age": None if guess is None else round(guess["age"]),
        "bbox": write_array(np.asarray(face["box"], np.float64)),
        "det_score": write_scalar(np.float64(face["det_score"])),
        "gender": None if guess is None else write_scalar(_GENDERS[guess["gender"]]),
        "landmark": None if landmarks is None else write_array(np.asarray(landmarks, np.float32)),
        "normed_embedding": write_array(widen(face["embedding"])),
    }
