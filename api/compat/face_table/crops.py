"""Crops that are stored while their samples are: kept if the samples are, else deleted again."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from api.enrolment import make_sample
from common.errors import TransientError
from common.ports import BlobStore
from common.store.face_table import MakeSample
from common.store.galleries import NewSample
from common.store.paging import Row


class Crops:
    """See the module; the `with` block stores the samples.

    Args:
        gallery: that the samples are for.
    """

    def __init__(self, blobs: BlobStore, gallery: Row) -> None:
        self._blobs = blobs
        self._gallery = gallery
        self._keys: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # of a lost connection nobody knows whether the rows are there: then their crops must stay
        if error is not None and not isinstance(error, TransientError):
            for key in self._keys:
                self._blobs.delete(key)

    def maker(self, face: Mapping[str, Any], image_sha256: str | None = None) -> MakeSample:
        """Makes the sample of a face that the pools answered."""

        def make(subject_id: str) -> NewSample:
            sample, crop = make_sample(face, self._gallery, subject_id, image_sha256)
            self._keys.append(sample.crop_key)
            self._blobs.put(sample.crop_key, crop)
            return sample

        return make
