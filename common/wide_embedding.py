"""Embeddings as older clients count on them: 512 numbers of unit length, whatever the active pack gives."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from common.errors import ConflictError
from common.types import Float32s

#: Numbers of an embedding that older clients count on.
DIM: Final = 512


def widen(embedding: Sequence[float]) -> Float32s:
    """(512,) float32 of unit length. A shorter embedding gets zeros behind it, which change no length and no cosine.

    Raises:
        ConflictError: it has more numbers than 512.
    """
    if len(embedding) > DIM:
        raise ConflictError(
            f"Embeddings of the active model pack have {len(embedding)} numbers, and clients of this route read {DIM}:"
            " start the server with FACEPIPE_MODEL_PACK set to another pack.",
            "model_mismatch",
        )
    wide = np.zeros(DIM)
    wide[: len(embedding)] = embedding
    unit: Float32s = (wide / np.linalg.norm(wide)).astype(np.float32)
    return unit
