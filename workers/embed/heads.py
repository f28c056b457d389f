"""The networks of a pack beside the embedder: attributes and dense landmarks, each loaded when it is first needed.

Who asks for neither pays for neither: some of these networks are larger than the embedder.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from common.errors import ConfigurationError
from common.types import Faces, Float32s, Guesses, Int64s
from workers.embed.attributes import GENDERAGE_WIDTHS, decode_genderage
from workers.embed.box_network import BoxNetwork
from workers.embed.landmarks import LANDMARK_WIDTHS, decode_landmarks, estimate_pose, five_points

_GENDERAGE: Final = "genderage"
_PLANE: Final = "landmark_2d_106"
_SPACE: Final = "landmark_3d_68"

#: Contract to how many numbers a face its network may give.
WIDTHS: Final[Mapping[str, Sequence[int]]] = {_GENDERAGE: GENDERAGE_WIDTHS, **LANDMARK_WIDTHS}


class Heads:
    """See the module; thread-safe.

    Args:
        loaders: contract to what loads the network of that contract.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], BoxNetwork]]) -> None:
        self._loaders = loaders
        self._loaded: dict[str, BoxNetwork] = {}
        self._lock = threading.Lock()

    def guess(
        self, faces: Faces, chosen: Int64s, *, dense: bool, batch_size: int, check: Callable[[], None]
    ) -> Guesses:
        """Everything that the networks of the pack say of some faces.

        Args:
            faces: all faces.
            chosen: (n,) indices of those wanted.
            dense: dense landmarks and pose too.
            batch_size: crops in one run at most.
            check: called before every run; raises to stop.

        Raises:
            ConfigurationError: a network cannot be loaded, or gives something else than its contract says.
        """
        guesses = Guesses.nothing(len(chosen)).to_arrays()
        if _GENDERAGE in self._loaders:
            network = self._network(_GENDERAGE)
            raw = network.look(faces.patches, faces.boxes, chosen, batch_size=batch_size, check=check)
            guesses["age"], guesses["female_score"] = decode_genderage(raw)
        if dense and _PLANE in self._loaders:
            guesses["landmarks_106"] = self._points(_PLANE, faces, chosen, batch_size, check)
        if dense and _SPACE in self._loaders:
            guesses["landmarks_68"] = self._points(_SPACE, faces, chosen, batch_size, check)
            guesses["pose"] = estimate_pose(guesses["landmarks_68"])
        return Guesses.from_arrays(guesses)

    def complete_landmarks(self, faces: Faces, *, batch_size: int, check: Callable[[], None]) -> Float32s:
        """The five landmarks of all faces; those that the detector did not give come from the dense ones.

        Args:
            faces: whose landmarks are NaN where the detector gave none.
            batch_size: crops in one run at most.
            check: called before every run; raises to stop.

        Returns:
            (faces, 5, 2) float32; `faces.landmarks` itself where nothing is missing.

        Raises:
            ConfigurationError: landmarks are missing, and the pack has no network that finds them.
        """
        missing = np.flatnonzero(np.isnan(faces.landmarks).any(axis=(1, 2)))
        if not len(missing):
            return faces.landmarks
        contract = next((contract for contract in (_PLANE, _SPACE) if contract in self._loaders), None)
        if contract is None:
            raise ConfigurationError(
                "The detector gives no landmarks and the model pack has no network that finds them, so no face can be"
                " aligned; use a pack with a landmark_2d_106 or landmark_3d_68 network, or another detector."
            )
        landmarks = faces.landmarks.copy()
        landmarks[missing] = five_points(self._points(contract, faces, missing, batch_size, check))
        return landmarks

    def _points(
        self, contract: str, faces: Faces, chosen: Int64s, batch_size: int, check: Callable[[], None]
    ) -> Float32s:
        network = self._network(contract)
        raw = network.look(faces.patches, faces.boxes, chosen, batch_size=batch_size, check=check)
        return decode_landmarks(raw, faces.boxes[chosen], contract, side_px=network.side_px)

    def _network(self, contract: str) -> BoxNetwork:
        with self._lock:
            if contract not in self._loaded:
                self._loaded[contract] = self._loaders[contract]()
            return self._loaded[contract]


#: Of a pack with an embedder alone.
NO_HEADS: Final = Heads({})
