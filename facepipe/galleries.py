"""Galleries, and the subjects and samples in them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

from facepipe.documents import (
    AddedSamples,
    Appearance,
    Enrolment,
    Gallery,
    ImportedSubject,
    Receipt,
    Sample,
    Subject,
)
from facepipe.errors import ProtocolError
from facepipe.paging import items_of
from facepipe.transport import Transport, path_of
from facepipe.uploads import ImageSource, NamedBytes, ProgressCallback, Upload

_SILENCE_S: Final = 120.0


class Galleries:
    """`client.galleries`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, min_similarity: float | None = None, model: str | None = None) -> Gallery:
        """A new, empty gallery.

        Args:
            name: letters, digits, dots, dashes and underscores.
            model: name of an installed pack, or the id of its embedding model; default: the server's active one.
            min_similarity: lower bound of a match in this gallery; default: the model's calibrated one.

        Raises:
            ConflictError: the name is taken.
        """
        body: dict[str, Any] = {"name": name}
        if min_similarity is not None:
            body["min_similarity"] = min_similarity
        if model is not None:
            body["model"] = model
        return Gallery.from_wire(self._transport.call("POST", path_of("galleries"), json=body))

    def list(self) -> Iterator[Gallery]:
        """Every gallery."""
        return map(Gallery.from_wire, items_of(self._transport, path_of("galleries")))

    def get(self, name: str) -> Gallery:
        """One gallery. Raises NotFoundError."""
        return Gallery.from_wire(self._transport.call("GET", path_of("galleries", name)))

    def set_index(
        self,
        name: str,
        kind: str,
        *,
        min_recall: float | None = None,
        priority: str | None = None,
        webhook_url: str | None = None,
    ) -> Gallery:
        """Choose how a gallery is searched.

        Args:
            kind: "exact", or "hnsw": approximately, once the job `index.job_id` has built and measured the index.
            min_recall: it is used only if it finds the best match of so many probes; default: 0.99.
            priority: of the job: high, normal or low.
            webhook_url: where the server posts the job's final document.

        Raises:
            ConflictError: an index is being built, or there is nothing to index.
        """
        asked = {"kind": kind, "min_recall": min_recall, "priority": priority, "webhook_url": webhook_url}
        body = {field: value for field, value in asked.items() if value is not None}
        return Gallery.from_wire(self._transport.call("PATCH", path_of("galleries", name, "index"), json=body))

    def delete(self, name: str) -> None:
        """Erase a gallery with everybody in it."""
        self._transport.call("DELETE", path_of("galleries", name))

    @contextmanager
    def export(self, name: str, *, label: str | None = None) -> Iterator[Iterator[Mapping[str, Any]]]:
        """Everything in a gallery, document by document as it comes: `gallery`, `subject`s each followed by its
        `sample`s, `end`; `kind` says which. One that ends without `end` was cut short.

        Args:
            label: what it becomes, such as a file name; the receipt of an erasure names it.
        """
        query = f"?{urlencode({'label': label})}" if label else ""
        path = path_of("galleries", name, "export") + query
        headers = {"Accept": "application/x-ndjson"}
        with self._transport.stream(path, headers=headers, silence_s=_SILENCE_S) as lines:
            yield map(_document, lines)

    def import_subject(
        self, name: str, subject: Mapping[str, Any], crops: Sequence[tuple[str, bytes]] = ()
    ) -> ImportedSubject:
        """Take in a subject of an export, or some of its samples. What is there stays, so it is safe to repeat.

        Args:
            subject: as exported, with the list `samples`; those whose crop is not given are merely looked up.
            crops: ids of samples and their JPEGs.
        """
        path = path_of("galleries", name, "import")
        if not crops:
            answer = self._transport.call("POST", path, json={"subject": subject}, is_idempotent=True)
        else:
            upload = Upload((("crops", NamedBytes(f"{sample_id}.jpg", data)) for sample_id, data in crops))
            form = {"subject": json.dumps(subject)}
            answer = self._transport.call("POST", path, form=form, upload=upload, is_idempotent=True)
        return ImportedSubject.from_wire(answer)


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

    def list(self, gallery: str, *, external_id: str | None = None, name: str | None = None) -> Iterator[Subject]:
        """Everybody in a gallery, or the one with an external id, or those with a name."""
        wanted = {"external_id": external_id, "name": name}
        query = {"limit": "1000", **{field: value for field, value in wanted.items() if value is not None}}
        return map(Subject.from_wire, items_of(self._transport, path_of("galleries", gallery, "subjects"), query))

    def get(self, gallery: str, subject_id: str) -> Subject:
        """One subject. Raises NotFoundError."""
        return Subject.from_wire(self._transport.call("GET", path_of("galleries", gallery, "subjects", subject_id)))

    def update(self, gallery: str, subject_id: str, **changes: Any) -> Subject:
        """Change `name`, `external_id` or `metadata`; what is not given stays."""
        path = path_of("galleries", gallery, "subjects", subject_id)
        return Subject.from_wire(self._transport.call("PATCH", path, json=changes, is_idempotent=True))

    def delete(self, gallery: str, subject_id: str) -> None:
        """Remove a subject with all samples from the gallery; see `erase`."""
        self._transport.call("DELETE", path_of("galleries", gallery, "subjects", subject_id))

    def erase(self, gallery: str, subject_id: str) -> Receipt:
        """Erase somebody for good: samples, and what was found of them in every job. Gives the receipt."""
        path = path_of("galleries", gallery, "subjects", subject_id, "erase")
        return Receipt.from_wire(self._transport.call("POST", path))

    def add_samples(
        self,
        gallery: str,
        subject_id: str,
        images: Sequence[ImageSource],
        *,
        progress: ProgressCallback | None = None,
    ) -> AddedSamples:
        """Add images to somebody who is enrolled; as `enroll`. One that is there already is named in `duplicates`."""
        path = path_of("galleries", gallery, "subjects", subject_id, "samples")
        return AddedSamples.from_wire(self._send(path, {}, images, progress, is_idempotent=True))

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


def _document(line: str) -> Mapping[str, Any]:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise ProtocolError("protocol", "The export was cut short in the middle of a line.") from error
    if not isinstance(document, dict):
        raise ProtocolError("protocol", "The server's export cannot be read.")
    return document
