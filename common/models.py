"""The embedding models of all installed packs: which pack has one, and from what similarity on it sees one person."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import ConfigurationError, ConflictError
from common.packs import Pack, find_pack, installed_packs


class Models:
    """See the module. A pack that is installed while this lives is found; a broken manifest hides its own pack alone.

    Args:
        active: name of the pack that holds where nobody chooses.
        folders: searched for packs.
        min_similarity: the operator's own bound for the active pack's model, instead of the calibrated one.

    Raises:
        ConfigurationError: the active pack is missing or broken.
    """

    def __init__(self, active: str, folders: Sequence[Path], *, min_similarity: float | None = None) -> None:
        self._folders = tuple(folders)
        self._chosen = min_similarity
        self.active = find_pack(active, folders)
        self._by_model = {self.active.model_id: self.active}

    def pack(self, model_id: str) -> Pack:
        """The installed pack whose embedder has this id; of several the active one, else the first by name.

        Raises:
            ConflictError: none has it; says what to do.
        """
        if model_id not in self._by_model:
            for pack in self._installed():
                self._by_model.setdefault(pack.model_id, pack)
        try:
            return self._by_model[model_id]
        except KeyError:
            raise ConflictError(
                f"No installed pack has the embedding model {model_id!r}. Install the pack that it came from"
                " (`facepipe models install`, or its folder in FACEPIPE_MODELS_PATH), or re-index the gallery for"
                f" another model; the active one is {self.active.model_id!r}.",
                "model_mismatch",
            ) from None

    def choose(self, name: str) -> Pack:
        """A pack by its own name, or by the id of its embedding model.

        Raises:
            ConflictError: no installed pack has either.
        """
        for pack in self._installed():
            if pack.name == name:
                return pack
        return self.pack(name)

    def calibrated(self, model_id: str) -> float:
        """Least similarity of one person, as measured for the model. Raises ConflictError like `pack`."""
        return self.pack(model_id).embedder.min_similarity_at()

    def min_similarity(self, model_id: str) -> float:
        """What holds when neither the caller nor the gallery says. Raises ConflictError like `pack`."""
        if self._chosen is not None and model_id == self.active.model_id:
            return self._chosen
        return self.calibrated(model_id)

    def _installed(self) -> list[Pack]:
        packs = []
        for name in sorted(installed_packs(self._folders)):
            try:
                pack = find_pack(name, self._folders)
            except ConfigurationError:
                continue
            if pack.manifest.embedders:
                packs.append(pack)
        return packs
