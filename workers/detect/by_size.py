"""A detector at two input sizes: a small picture is not blown up to the size that large ones are reduced to."""

from collections.abc import Callable
from typing import Final, TypeVar

from common.errors import ConfigurationError
from common.types import Detections, Uint8s
from workers.detect.detector import Detector

Model = TypeVar("Model")

#: Pictures that fit in this go through an input of this side. Blown up to 640 px, faces of LFW's photographs (250 px)
#: are larger and smoother than any that a detector learns from: fewer are found, more hands are taken for faces, and
#: it takes four times as long.
SMALL_SIDE_PX: Final = 320


def make_small(make: Callable[[int], Model]) -> Model | None:
    """What `make` gives for `SMALL_SIDE_PX`, or None where the network takes another size only."""
    try:
        return make(SMALL_SIDE_PX)
    except ConfigurationError:
        return None


class DetectorBySize:
    """Chooses by the size of the frames; thread-safe.

    Args:
        large: for any frame.
        small: for frames that fit in `SMALL_SIDE_PX`; None where the network takes one size only.
    """

    def __init__(self, large: Detector, small: Detector | None) -> None:
        self._large = large
        self._small = small

    def detect(self, pixels: Uint8s, *, batch_size: int, check: Callable[[], None]) -> Detections:
        """See `Detector.detect`."""
        is_small = max(pixels.shape[1:3]) <= SMALL_SIDE_PX
        detector = self._small if is_small and self._small is not None else self._large
        return detector.detect(pixels, batch_size=batch_size, check=check)
