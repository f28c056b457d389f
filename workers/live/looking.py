"""One frame of a peer: the pools are asked who is in it, and what they say is drawn in."""

import io
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from common.calls import CallDesk
from common.contracts import Options, Stage
from common.drawing import draw_answer
from common.errors import FacepipeError
from common.gnosis.dataset import Dataset
from common.gnosis.vote import name_faces
from common.ports import BlobStore
from common.types import Uint8s
from common.wide_embedding import widen

log = logging.getLogger("facepipe.live")

_QUALITY: Final = 90
_TIMEOUT_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0

Face = Mapping[str, Any]


class Naming:
    """Labels of faces: how many they are, or who they are by a data set.

    Args:
        dataset: None only counts.
        above: see `common.gnosis.vote.elect`.
    """

    def __init__(self, dataset: Dataset | None, *, above: float) -> None:
        self._dataset = dataset
        self._above = above

    @property
    def until(self) -> Stage:
        """The stage whose answer is needed."""
        return "detect" if self._dataset is None else "embed"

    def label(self, faces: Sequence[Face]) -> list[tuple[Face, str]]:
        """The faces that are drawn, each with its label; with a data set, those inside of the picture alone."""
        if self._dataset is None:
            return [(face, str(number)) for number, face in enumerate(faces)]
        inside = [face for face in faces if min(face["box"]) >= 0]
        if not inside:
            return []
        embeddings = np.stack([widen(face["embedding"]) for face in inside])
        return list(zip(inside, name_faces(embeddings, self._dataset, above=self._above), strict=True))


class Looker:
    """Looks at the frames of one peer, one after the other.

    Args:
        desk: asks the pools.
        blobs: where they find the frame.
        naming: whose faces they are.
        clock: monotonic seconds.
    """

    def __init__(
        self, desk: CallDesk, blobs: BlobStore, naming: Naming, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._desk = desk
        self._blobs = blobs
        self._naming = naming
        self._clock = clock
        self._pause_s = 0.0
        self._asks_again_at = float("-inf")

    def draw(self, pixels: Uint8s) -> Uint8s:
        """The frame with its faces drawn in; as it is while the pools are away.

        Args:
            pixels: (height, width, 3) uint8 RGB.
        """
        if self._clock() < self._asks_again_at:
            return pixels
        try:
            labelled = self._naming.label(self._ask(pixels))
        except FacepipeError as error:
            self._pause_s = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            self._asks_again_at = self._clock() + self._pause_s
            log.warning("frames go back without faces for %g s: %s", self._pause_s, error)
            return pixels
        self._pause_s = 0.0
        return draw_answer(pixels, [{**face, "label": label} for face, label in labelled])

    def _ask(self, pixels: Uint8s) -> Sequence[Face]:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
        key = f"calls/{uuid.uuid4().hex}"
        try:
            self._blobs.put(key, file.getvalue())
            (answer,) = self._desk.ask([key], until=self._naming.until, options=Options(), timeout_s=_TIMEOUT_S)
        finally:
            self._blobs.delete(key)
        if isinstance(answer, FacepipeError):
            raise answer
        faces: Sequence[Face] = answer["faces"]
        return faces
