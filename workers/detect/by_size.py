"""A detector at several input sizes: the one that suits the frames, of few, is chosen by their size."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

from common.errors import ConfigurationError
from common.packs import DetectionModel
from common.ports import ModelSession
from common.types import Detections
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize, Letterbox
from workers.detect.pictures import Pictures

#: Pictures that fit in this go through an input of this side. Blown up to 640 px, faces of LFW's photographs (250 px)
#: are larger and smoother than any that a detector learns from: fewer are found, more hands are taken for faces, and
#: it takes four times as long.
SMALL_SIDE_PX: Final = 320

# The shorter side over the longer one: 640 x 384 holds 16:9, 640 x 480 holds 4:3. A square would be black by 44 %
# there, and a network takes as long over black as over people.
_RATIOS: Final = (0.6, 0.75)
_STRIDE_PX: Final = 32


def input_sizes(side_px: int) -> list[InputSize]:
    """The sizes that a detector is loaded for; the square that holds everything comes first.

    Args:
        side_px: of that square.
    """
    shorter = [-(-round(side_px * ratio) // _STRIDE_PX) * _STRIDE_PX for ratio in _RATIOS]
    lying = [InputSize(side_px, short_px) for short_px in shorter if short_px < side_px]
    standing = [InputSize(size.height_px, size.width_px) for size in lying]
    small = [InputSize.square(SMALL_SIDE_PX)] if side_px > SMALL_SIDE_PX else []
    return [InputSize.square(side_px), *lying, *standing, *small]


class DetectorBySize:
    """Chooses by the size of the frames; thread-safe.

    Args:
        detectors: the first for any frame; of the others those that the network can be run as.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._any, *self._others = detectors

    @classmethod
    def of(cls, session: ModelSession, spec: DetectionModel, *, side_px: int) -> Self:
        """All sizes on one network, run where it is called, without an engine."""
        first, *others = input_sizes(side_px)
        detectors = [Detector(session, spec, size=first)]
        for size in others:
            with suppress(ConfigurationError):
                detectors.append(Detector(session, spec, size=size))
        return cls(detectors)

    def choose(self, width_px: int, height_px: int) -> Detector:
        """The smallest input in which frames of that size are not made smaller than in the first.

        Frames that fit in `SMALL_SIDE_PX` need no more than that.
        """
        longer_px = max(width_px, height_px)
        full = Letterbox.fit(width_px, height_px, self._any.size).scale_x
        least = min(full, SMALL_SIDE_PX / longer_px) if longer_px <= SMALL_SIDE_PX else full
        fitting = [one for one in self._others if Letterbox.fit(width_px, height_px, one.size).scale_x >= least]
        return min(fitting, key=lambda one: one.size.width_px * one.size.height_px, default=self._any)

    def detect(self, pictures: Pictures, *, batch_size: int, check: Callable[[], None]) -> Detections:
        """See `Detector.detect`."""
        detector = self.choose(pictures.width_px, pictures.height_px)
        return detector.detect(pictures, batch_size=batch_size, check=check)
