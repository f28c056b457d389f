"""A network that looks at crops by box, one answer a face: attributes and dense landmarks."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from common.errors import ConfigurationError
from common.packs import ImageInput
from common.ports import ModelSession
from common.types import Float32s, Int64s, Patches, Uint8s
from workers.embed.box_crops import cut_box_crops

#: Crops in memory at once: of those of 192 px, 32 are 14 MB as the network takes them.
_CROPS_AT_ONCE: Final = 32


class BoxNetwork:
    """Runs a network over the crops of faces; thread-safe.

    Args:
        session: the loaded network.
        name: its file, for messages.
        image: how its crops look.
        widths: how many numbers a face it may give.

    Raises:
        ConfigurationError: its input or output is something else.
    """

    def __init__(self, session: ModelSession, name: str, image: ImageInput, *, widths: Sequence[int]) -> None:
        self._session = session
        self._name = name
        self._widths = tuple(widths)
        self.side_px = image.side_px
        self._input_name, self._crops_a_run = self._check()
        self._levels = ((np.arange(256) - image.mean) / image.std).astype(np.float32)
        self._planes = [0, 1, 2] if image.colour == "rgb" else [2, 1, 0]

    def look(
        self, patches: Patches, boxes: Float32s, faces: Int64s, *, batch_size: int, check: Callable[[], None]
    ) -> Float32s:
        """What the network says of some faces.

        Args:
            patches: one a face.
            boxes: (faces, 4) float32, frame pixels.
            faces: (n,) indices of those wanted.
            batch_size: crops in one run at most; graphs with a batch axis of 1 get them one by one.
            check: called before every run; raises to stop.

        Returns:
            (n, width) float32 as it came out; the width of nothing is the first that is allowed.

        Raises:
            ConfigurationError: the network gave another number of numbers.
        """
        step = self._crops_a_run or min(batch_size, _CROPS_AT_ONCE)
        answers = []
        for start in range(0, len(faces), step):
            check()
            crops = cut_box_crops(patches, boxes, faces[start : start + step], side_px=self.side_px)
            (raw,) = self._session.run({self._input_name: self._prepare(crops)})
            if raw.shape != (len(crops), raw.shape[-1]) or raw.shape[-1] not in self._widths:
                raise ConfigurationError(
                    f"{self._name} gives {raw.shape} for {len(crops)} crops, not {self._expected} numbers a crop"
                )
            answers.append(raw.astype(np.float32))
        return np.concatenate(answers) if answers else np.zeros((0, self._widths[0]), np.float32)

    def _prepare(self, crops: Uint8s) -> Float32s:
        """(n, 3, side, side) float32."""
        return self._levels[np.ascontiguousarray(crops.transpose(0, 3, 1, 2)[:, self._planes])]

    @property
    def _expected(self) -> str:
        return " or ".join(map(str, self._widths))

    def _check(self) -> tuple[str, int | None]:
        """Name of the input, and how many crops a run takes: 1, or None where that is open."""
        session = self._session
        if len(session.inputs) != 1 or len(session.outputs) != 1:
            raise ConfigurationError(f"{self._name} needs one input and one output, and has others")
        name, shape = session.inputs[0]
        planes = (3, self.side_px, self.side_px)
        if len(shape) != 4 or any(
            isinstance(size, int) and size != want for size, want in zip(shape[1:], planes, strict=True)
        ):
            raise ConfigurationError(f"{self._name} takes {shape}, not crops of {self.side_px} x {self.side_px}")
        if isinstance(shape[0], int) and shape[0] != 1:
            raise ConfigurationError(
                f"{self._name} takes exactly {shape[0]} crops a run; export it with an open batch axis"
            )
        width = session.outputs[0][1][-1]
        if isinstance(width, int) and width not in self._widths:
            raise ConfigurationError(f"{self._name} gives {width} numbers a crop, not {self._expected}")
        return name, shape[0] if isinstance(shape[0], int) else None
