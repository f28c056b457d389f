"""Ways to search the same references: facepipe's two, and what people write themselves."""

import importlib
import threading
import time
from typing import Any, Protocol

import numpy as np

from benchmarks.gallery.crowd import MODEL_ID, Float16s, subject_id
from common.store.database import Database
from common.store.search import GallerySearch
from common.types import Float32s, Int64s

_BLOCK_ROWS = 8192


class Way(Protocol):
    """Something that finds the closest references."""

    name: str
    build_s: float
    nbytes: int

    def best(self, probes: Float32s) -> Int64s:
        """(probes,) number of the closest reference, -1 for none."""


class Facepipe:
    """The search of the match pool, with an index in memory or without (`room` 0)."""

    def __init__(self, database: Database, gallery_id: str, references: Float16s, *, name: str, room: int) -> None:
        self.name = name
        self._gallery_id = gallery_id
        self._search = GallerySearch(database, index_bytes=room)
        self._numbers = {subject_id(number): number for number in range(len(references))}
        started = time.perf_counter()
        if room:
            self.best(references[:1].astype(np.float32))
            while not self._search.indexed() and any(one.name == "facepipe-index" for one in threading.enumerate()):
                time.sleep(0.05)
        self.build_s = time.perf_counter() - started
        self.nbytes = self._search.nbytes()
        if room and not self._search.indexed():
            raise SystemExit("the index was not built")

    def best(self, probes: Float32s) -> Int64s:
        """See `Way`; as the pool calls it: five candidates each."""
        found = self._search.candidates(self._gallery_id, MODEL_ID, probes, limit=5)
        return np.array([self._numbers[one[0].subject_id] if one else -1 for one in found])


class NumpyHalves:
    """The loop people write over float16: convert a block, multiply, keep the best."""

    name = "NumPy float16 loop"
    build_s = 0.0

    def __init__(self, references: Float16s) -> None:
        self._references = references
        self.nbytes = references.nbytes

    def best(self, probes: Float32s) -> Int64s:
        """See `Way`."""
        return _brute_force(self._references, probes, np.float32)


class FaissFlat:
    """FAISS IndexFlatIP, which keeps float32."""

    name = "FAISS flat"

    def __init__(self, faiss: Any, references: Float16s) -> None:
        started = time.perf_counter()
        self._index = faiss.IndexFlatIP(references.shape[1])
        for start in range(0, len(references), _BLOCK_ROWS):
            self._index.add(references[start : start + _BLOCK_ROWS].astype(np.float32))
        self.build_s = time.perf_counter() - started
        self.nbytes = references.nbytes * 2

    def best(self, probes: Float32s) -> Int64s:
        """See `Way`."""
        return np.asarray(self._index.search(probes, 5)[1][:, 0], np.int64)


def find_faiss() -> Any | None:
    """The module, where it is installed."""
    try:
        return importlib.import_module("faiss")
    except ImportError:
        return None


def truth(references: Float16s, probes: Float32s) -> Int64s:
    """Brute force in float64, over probes in half precision, as they are compared."""
    return _brute_force(references, probes.astype(np.float16).astype(np.float32), np.float64)


def _brute_force(references: Float16s, probes: Float32s, kind: type[np.floating]) -> Int64s:
    best = np.full(len(probes), -np.inf)
    place = np.full(len(probes), -1)
    asked = probes.astype(kind).T
    for start in range(0, len(references), _BLOCK_ROWS):
        rows = references[start : start + _BLOCK_ROWS].astype(kind)
        if kind is np.float64:
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        similarities = rows @ asked
        top = similarities.argmax(axis=0)
        value = similarities[top, np.arange(len(probes))]
        better = value > best
        best[better], place[better] = value[better], top[better] + start
    return place
