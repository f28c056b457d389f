"""A face embedder: aligned crops in, unit vectors out. Only here are embeddings made unit length."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from common.errors import ConfigurationError
from common.packs import EmbeddingModel
from common.ports import ModelSession
from common.types import Float32s, Uint8s
from workers.embed.align import CROP_SIDE_PX


class Embedder:
    """Runs an embedding network over crops; thread-safe.

    Args:
        session: the loaded network.
        spec: its entry in the manifest.

    Raises:
        ConfigurationError: the network's input or output is not what the manifest says.
    """

    def __init__(self, session: ModelSession, spec: EmbeddingModel) -> None:
        # Pools run threads side by side; OpenCV's own threads would only fight them. This holds for the whole process.
        cv2.setNumThreads(1)
        self._session = session
        self.spec = spec
        self._input_name, self._crops_a_run = _check(session, spec)
        levels = (np.arange(256) - spec.input.mean) / spec.input.std
        self._levels = levels.astype(np.float32)
        self._planes = [0, 1, 2] if spec.input.colour == "rgb" else [2, 1, 0]

    def embed(self, crops: Uint8s, *, batch_size: int, check: Callable[[], None]) -> Float32s:
        """Embed crops.

        Args:
            crops: (n, 112, 112, 3) uint8 RGB, aligned.
            batch_size: crops in one run at most; graphs with a batch axis of 1 get them one by one.
            check: called before every run; raises to stop.

        Returns:
            (n, dim) float32, unit length.

        Raises:
            ConfigurationError: the network gave something that is no direction (not finite, or all zero); names the
                crops.
        """
        step = self._crops_a_run or batch_size
        embeddings = np.empty((len(crops), self.spec.dim), np.float32)
        for start in range(0, len(crops), step):
            check()
            (raw,) = self._session.run({self._input_name: self._prepare(crops[start : start + step])})
            embeddings[start : start + step] = self._normalise(raw)
        if len(lost := np.flatnonzero(~np.isfinite(embeddings).all(axis=1))):
            raise ConfigurationError(
                f"{self.spec.name} gave no direction for crops {', '.join(map(str, lost))} of {len(crops)}; "
                "verify the pack"
            )
        return embeddings

    def _prepare(self, crops: Uint8s) -> Float32s:
        """(n, 3, 112, 112) float32."""
        planes = np.ascontiguousarray(crops.transpose(0, 3, 1, 2)[:, self._planes])
        return self._levels[planes]

    def _normalise(self, raw: npt.NDArray[Any]) -> Float32s:
        """Unit length; NaN where there is no direction."""
        if raw.shape[1:] != (self.spec.dim,):
            raise ConfigurationError(f"{self.spec.name} gives embeddings of shape {raw.shape[1:]}, not {self.spec.dim}")
        lengths = np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
        lengths[~(np.isfinite(lengths) & (lengths > 0))] = np.nan
        unit: Float32s = (raw / lengths).astype(np.float32)
        return unit


def _check(session: ModelSession, spec: EmbeddingModel) -> tuple[str, int | None]:
    """Name of the input, and how many crops a run takes: 1, or None where that is open."""
    if len(session.inputs) != 1 or len(session.outputs) != 1:
        raise ConfigurationError(f"{spec.name} is not an embedder: it needs one input and one output")
    name, shape = session.inputs[0]
    if len(shape) != 4 or any(isinstance(side, int) and side != CROP_SIDE_PX for side in shape[2:]):
        raise ConfigurationError(f"{spec.name} takes {shape}, not crops of {CROP_SIDE_PX} x {CROP_SIDE_PX}")
    output = session.outputs[0][1]
    dim = output[-1] if len(output) == 2 else output
    if not isinstance(dim, str | None) and dim != spec.dim:
        raise ConfigurationError(f"{spec.name} gives embeddings of {dim} numbers, its manifest says {spec.dim}")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ConfigurationError(f"{spec.name} takes exactly {shape[0]} crops a run; export it with an open batch axis")
    return name, shape[0] if isinstance(shape[0], int) else None
