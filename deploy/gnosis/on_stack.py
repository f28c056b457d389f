"""Faces asked of a running stack."""

from pathlib import Path
from typing import Any

from common.errors import BadInputError, ConflictError
from common.gnosis.vote import BOUND, bound_for
from common.models import Models
from common.settings import Settings
from facepipe.client import Client
from facepipe.documents import Faces
from facepipe.errors import BadRequestError


class OnStack:
    """See the module.

    Args:
        client: of the stack.
        settings: where the packs of this machine lie.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._model_id: str | None = None
        self.label = f"the stack at {client.url}"

    @property
    def above(self) -> float:
        """See `deploy.gnosis.analyser.Analyser`; the original's bound where the stack's model is unknown here."""
        if self._model_id is None:
            return BOUND
        try:
            models = Models(self._settings.model_pack, self._settings.packs_path)
            return bound_for(models.pack(self._model_id).embedder)
        except ConflictError:
            return BOUND

    def find(self, picture: Path, *, embed: bool) -> list[dict[str, Any]]:
        """See `deploy.gnosis.analyser.Analyser`."""
        try:
            found: Faces = self._client.embeddings(picture) if embed else self._client.detect(picture)
        except BadRequestError as error:
            raise BadInputError(error.message, "bad_media") from error
        self._model_id = found.model_id or self._model_id
        return [
            {
                "box": list(face.box),
                "det_score": face.det_score,
                "landmarks": [list(point) for point in face.landmarks] or None,
                "embedding": None if face.embedding is None else list(face.embedding),
            }
            for face in found.faces
        ]
