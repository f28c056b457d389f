"""What the outputs of a detector are, told from their number.

The detect pool decodes by it, and the embed pool learns whether it must find the landmarks itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from common.ports import ModelSession


@dataclass(frozen=True, slots=True)
class ScrfdLayout:
    """A kind of SCRFD export.

    Attributes:
        strides: in input pixels, ascending.
        has_landmarks: whether a third group of outputs gives five landmarks.
    """

    strides: tuple[int, ...]
    has_landmarks: bool


#: InsightFace's exports by their number of outputs (deepinsight/insightface, `model_zoo/scrfd.py`, MIT).
SCRFD_LAYOUTS: Final[Mapping[int, ScrfdLayout]] = {
    6: ScrfdLayout((8, 16, 32), has_landmarks=False),
    9: ScrfdLayout((8, 16, 32), has_landmarks=True),
    10: ScrfdLayout((8, 16, 32, 64, 128), has_landmarks=False),
    15: ScrfdLayout((8, 16, 32, 64, 128), has_landmarks=True),
}


def gives_landmarks(session: ModelSession, contract: Literal["scrfd", "yunet"]) -> bool:
    """Whether faces of this detector come with five landmarks; True too for what is no detector at all."""
    layout = SCRFD_LAYOUTS.get(len(session.outputs))
    return contract == "yunet" or layout is None or layout.has_landmarks
