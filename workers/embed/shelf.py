"""The embedders of a process, by the embedding space they embed in.

Galleries move from one model to another while both are in use, so one pool serves several: that of the active pack
always, a few others from when they are first asked for until others push them out.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from common.inference.engine import Lanes
from common.models import Models
from common.packs import Pack
from workers.embed.embedder import Embedder

log = logging.getLogger("facepipe.embed")

Load = Callable[[Pack], Lanes[Embedder]]


class _Place:
    """Where one embedder stands, or will when it is loaded; who needs it meanwhile waits for this one alone."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.embedder: Lanes[Embedder] | None = None


class EmbedderShelf:
    """See the module; thread-safe.

    Args:
        models: what is installed; the embedder of the active pack is loaded at once.
        load: checks and loads the embedder of a pack. What is dropped here ends when its last user is done with it.
        others: how many others are kept loaded; the one that was not used for the longest time goes.
    """

    def __init__(self, models: Models, load: Load, *, others: int) -> None:
        self._models = models
        self._active = load(models.active)
        self._load = load
        self._others = others
        self._lock = threading.Lock()
        self._places: OrderedDict[str, _Place] = OrderedDict()

    def get(self, model_id: str | None, *, urgent: bool) -> Embedder:
        """The embedder of a space, loaded if need be.

        Args:
            model_id: the space; None means that of the active pack.
            urgent: somebody waits for the answer.

        Raises:
            ConflictError: no installed pack embeds in that space; says how to install one.
            ConfigurationError: the one that does is broken.
        """
        if model_id is None or model_id == self._models.active.model_id:
            return self._active.lane(urgent=urgent)
        with self._lock:
            place = self._places.setdefault(model_id, _Place())
            self._places.move_to_end(model_id)
            while len(self._places) > self._others:
                dropped, _ = self._places.popitem(last=False)
                log.info("the embedder of %s is no longer kept", dropped)
        with place.lock:
            if place.embedder is None:
                try:
                    place.embedder = self._load(self._models.pack(model_id))
                except Exception:
                    self._forget(model_id, place)
                    raise
            return place.embedder.lane(urgent=urgent)

    def _forget(self, model_id: str, place: _Place) -> None:
        with self._lock:
            if self._places.get(model_id) is place:
                del self._places[model_id]
