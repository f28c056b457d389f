"""Galleries, and the subjects and samples in them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from facepipe.documents import AddedSamples, Appearance, Enrolment, Gallery, Sample, Subject
from facepipe.paging import items_of
from facepipe.transport import Transport, path_of
from facepipe.uploads import ImageSource, ProgressCallback, Upload


class Galleries:
    """`client.galleries`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, min_similarity: float | None = None) -> Gallery:
        """A new, empty gallery for the server's model.

        Args:
            name: letters, digits, dots, dashes and underscores.
            min_similarity: lower bound of a match in this gallery; default: the model's calibrated one.

        Raises:
            ConflictError: the name is taken.
        """
        body: dict[str, Any] = {"name": name}
        if min_similarity is not None:
            body["min_similarity"] = min_similarity
        return Gallery.from_wire(self._transport.call("POST", path_of("galleries"), json=body))

    def list(self) -> Iterator[Gallery]:
        """Every gallery."""
        return map(Gallery.from_wire, items_of(self._transport, path_of("galleries")))

    def get(self, name: str) -> Gallery:
        """One gallery. Raises NotFoundError."""
        return Gallery.from_wire(self._transport.call("GET", path_of("galleries", name)))

    def delete(self, name: str) -> None:
        """Erase a gallery with everybody in it."""
        self._transport.call("DELETE", path_of("galleries", name))


class Subjects:
    """`client.subjects`: the people of a gallery, and the images they are known by."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def enroll(
        self,
        gallery: str,
        name: str,
        images: Sequence[ImageSource],
        *,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Enrolment:
        """Make somebody known.

        With an `external_id` it is tried again after a broken connection, since nobody can be enrolled twice under
        one; a ConflictError may then mean that the first try had arrived.

        Args:
            gallery: name of the gallery.
            name: of the person.
            images: one or more, each with exactly one usable face.
            external_id: the caller's own key, unique in the gallery.
            metadata: given back with every candidate.
            progress: told what was sent.

        Returns:
            The samples made, and the images refused with the reasons.
        Raises:
            UnusableImagesError: no image has a usable face; nothing was stored.
            ConflictError: the `external_id` is taken, or the gallery was made with another model.
        """
        form = {"name": name}
        if external_id is not None:
            form["external_id"] = external_id
        if metadata is not None:
            form["metadata"] = json.dumps(metadata)
        answer = self._send(
            path_of("galleries", gallery, "subjects"), form, images, progress, is_idempotent=external_id is not None
        )
        return Enrolment.from_wire(answer)

    def list(self, gallery: str, *, external_id: str | None = None) -> Iterator[Subject]:
        """Everybody in a gallery, or the one with an external id, if there is one."""
        query = {"limit": "1000"} if external_id is None else {"external_id": external_id}
        return map(Subject.from_wire, items_of(self._transport, path_of("galleries", gallery, "subjects"), query))

    def get(self, gallery: str, subject_id: str) -> Subject:
        """One subject. Raises NotFoundError."""
        return Subject.from_wire(self._transport.call("GET", path_of("galleries", gallery, "subjects", subject_id)))

    def update(self, gallery: str, subject_id: str, **changes: Any) -> Subject:
        """Change `name`, `external_id` or `metadata`; what is not given stays."""
        path = path_of("galleries", gallery, "subjects", subject_id)
        return Subject.from_wire(self._transport.call("PATCH", path, json=changes, is_idempotent=True))

    def delete(self, gallery: str, subject_id: str) -> None:
        """Erase a subject with all samples."""
        self._transport.call("DELETE", path_of("galleries", gallery, "subjects", subject_id))

    def add_samples(
        self,
        gallery: str,
        subject_id: str,
        images: Sequence[ImageSource],
        *,
        progress: ProgressCallback | None = None,
    ) -> AddedSamples:
        """Add images to somebody who is enrolled; as `enroll`."""
        path = path_of("galleries", gallery, "subjects", subject_id, "samples")
        return AddedSamples.from_wire(self._send(path, {}, images, progress, is_idempotent=False))

    def samples(self, gallery: str, subject_id: str) -> Iterator[Sample]:
        """The samples of a subject."""
        path = path_of("galleries", gallery, "subjects", subject_id, "samples")
        return map(Sample.from_wire, items_of(self._transport, path))

    def crop(self, sample: Sample) -> bytes | None:
        """The JPEG of the aligned face that a sample was made of."""
        return self._transport.fetch(sample.crop_url) if sample.crop_url else None

    def delete_sample(self, gallery: str, subject_id: str, sample_id: str) -> None:
        """Erase one sample."""
        self._transport.call("DELETE", path_of("galleries", gallery, "subjects", subject_id, "samples", sample_id))

    def appearances(self, gallery: str, subject_id: str) -> Iterator[Appearance]:
        """Where this person appears, over all jobs."""
        path = path_of("galleries", gallery, "subjects", subject_id, "appearances")
        return map(Appearance.from_wire, items_of(self._transport, path))

    def _send(
        self,
        path: str,
        form: Mapping[str, str],
        images: Sequence[ImageSource],
        progress: ProgressCallback | None,
        *,
        is_idempotent: bool,
    ) -> dict[str, Any]:
        upload = Upload((("images", image) for image in images), progress)
        answer: dict[str, Any] = self._transport.call(
            "POST", path, form=form, upload=upload, is_idempotent=is_idempotent
        )
        return answer
