"""The face that a picture is meant to show, where several are in it."""

from collections.abc import Sequence
from typing import Any

from common.errors import BadInputError


def largest_face(faces: Sequence[dict[str, Any]], field: str) -> dict[str, Any]:
    """The face with the largest box.

    Args:
        faces: of an answer of the pools.
        field: the request part that the picture came in.

    Raises:
        BadInputError: `no_face`.
    """

    def area_px(face: dict[str, Any]) -> float:
        x1, y1, x2, y2 = face["box"]
        return float((x2 - x1) * (y2 - y1))

    if not faces:
        raise BadInputError("No face was found in this picture.", "no_face", field)
    return max(faces, key=area_px)
