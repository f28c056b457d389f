"""Naming an unknown person: its best pictures become samples of a subject, and past answers are decided anew."""

import uuid
from collections.abc import Sequence

from api.documents.galleries import Subject
from api.documents.people import NamedPerson, Person
from api.schemas import PersonName
from api.services import Services
from common.errors import ConflictError, NotFoundError, TransientError
from common.store.bulk import create_bulk_job
from common.store.database import Cursor
from common.store.galleries import NewSample, NewSubject, add_subject
from common.store.paging import Row
from common.store.people import PersonTrack

#: Samples made of a person at most, spread over its jobs.
MAX_SAMPLES = 8


def name_person(services: Services, person_id: str, asked: PersonName, *, owner: str) -> NamedPerson:
    """Enrol a person and promise the job that puts the name into past answers, in one transaction.

    A sample has the best aligned crop of a track and the track's fused embedding, which says more of a face than a
    single crop does. A re-index makes the sample's embedding of the crop alone.

    Raises:
        NotFoundError: no such person or gallery.
        ConflictError: the person has a name or no picture, the external id is taken, or the gallery has another model.
    """
    person = services.people.get(person_id)
    gallery = services.galleries.get(asked.gallery)
    if gallery["model_id"] != person["model_id"]:
        raise ConflictError(
            f"The person was seen with model {person['model_id']}, the gallery {asked.gallery!r} has"
            f" {gallery['model_id']}; embeddings of two models are never compared. Choose a gallery of that model.",
            "model_mismatch",
            "gallery",
        )
    subject = NewSubject(str(uuid.uuid4()), asked.name, asked.external_id, asked.metadata)
    prefix = f"galleries/{gallery['id']}/{subject.subject_id}"
    rematch: Row | None = None

    def enrol(cursor: Cursor, job_ids: Sequence[str]) -> Row:
        nonlocal rematch
        row = add_subject(cursor, asked.gallery, person["model_id"], subject, samples)
        if job_ids:
            rematch = create_bulk_job(
                cursor,
                kind="rematch",
                model_id=person["model_id"],
                options={"gallery": asked.gallery, "job_ids": list(job_ids), "subject_ids": [subject.subject_id]},
                gallery_id=str(gallery["id"]),
                owner=owner,
            )
        return row

    try:
        samples = _keep_crops(services, services.people.best_tracks(person_id, limit=MAX_SAMPLES), prefix)
        named, made = services.people.name(person_id, subject.subject_id, str(gallery["id"]), enrol)
    except TransientError:  # the rows may be there although the answer was lost: their crops must stay
        raise
    except Exception:
        services.blobs.delete(prefix)
        raise
    return NamedPerson(
        person=Person.from_row(named),
        subject=Subject(**made),
        rematch_job_id=None if rematch is None else str(rematch["id"]),
    )


def _keep_crops(services: Services, tracks: Sequence[PersonTrack], prefix: str) -> list[NewSample]:
    samples = []
    for track in tracks:
        sample_id = str(uuid.uuid4())
        crop_key = f"{prefix}/{sample_id}.jpg"
        try:
            services.blobs.put(crop_key, services.blobs.read(track.crop_key))
        except NotFoundError:  # the job is being erased
            continue
        samples.append(NewSample(sample_id, track.det_score, track.quality, crop_key, track.embedding))
    if not samples:
        raise ConflictError("No picture of this person is left to enrol; the jobs are being erased.")
    return samples
