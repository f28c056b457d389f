"""Faces of a picture as the original's documents describe them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from api.largest_face import largest_face
from common.errors import BadInputError
from common.gnosis.dataset import Dataset
from common.gnosis.vote import name_faces
from common.wide_embedding import widen

#: A picture of which these are said is one in which nobody can be encoded.
UNREADABLE: Final = frozenset({"bad_media", "empty_file", "truncated_media"})

_DECIMALS: Final = 8

Face = Mapping[str, Any]


def inside(faces: Sequence[Face]) -> list[Face]:
    """The faces whose boxes have no negative side, which alone are encoded and recognised."""
    return [face for face in faces if min(face["box"]) >= 0]


def encode(answer: Mapping[str, Any] | BadInputError) -> list[float] | None:
    """512 numbers of the largest face; None when there is none, or no picture.

    Args:
        answer: of the embed pool, or why the picture is refused.

    Raises:
        BadInputError: the picture is refused although it may be one.
    """
    if isinstance(answer, BadInputError):
        if answer.code in UNREADABLE:
            return None
        raise answer
    faces = [dict(face) for face in inside(answer["faces"])]
    if not faces:
        return None
    embedding: list[float] = widen(largest_face(faces, "file")["embedding"]).astype(float).round(_DECIMALS).tolist()
    return embedding


def describe(face: Face, label: int | str) -> dict[str, Any]:
    """A face in an answer: five numbers of `bbox`, of which the last is the score."""
    return {"label": label, "bbox": [*face["box"], face["det_score"]]}


def recognise(faces: Sequence[Face], dataset: Dataset, *, above: float) -> list[str]:
    """A label for each face of the embed pool's answer; see `common.gnosis.vote`."""
    if not faces:
        return []
    return name_faces(np.stack([widen(face["embedding"]) for face in faces]), dataset, above=above)
