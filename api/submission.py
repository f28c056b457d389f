"""Accepting a job: options resolved, media stored, then job and first step in one transaction; and trying one again."""

import hashlib
import json
import re
import uuid
from dataclasses import asdict

from api.attributes import check_attributes
from api.enrolment import check_model
from api.schemas import JobForm, JobLink, resolve_min_similarity
from api.services import Services
from api.uploads import Upload
from common.contracts import JOB_PRIORITIES, Options
from common.errors import BadInputError, NotFoundError, TransientError
from common.media_url import WEBHOOK_URL, check_url
from common.store.jobs import NewJob
from common.store.paging import Row

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def submit(
    services: Services, asked: JobForm, upload: Upload | None, *, owner: str, idempotency_key: str | None
) -> tuple[Row, bool]:
    """Accept a job for `upload`, or for the `media_url` of a `JobLink`.

    The same request with the same idempotency key gives the job that it gave before, whatever has become of it.

    Returns:
        The job's row, and whether it is new.
    Raises:
        BadInputError: a malformed key, or a forbidden URL.
        NotFoundError, ConflictError: no such gallery, or one of another model; the pack has no network for the
            attributes asked for; the key was used otherwise.
        OverloadedError: too many open jobs.
    """
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise BadInputError("An Idempotency-Key has 1 to 255 printable characters.", field="Idempotency-Key")
    gallery = None if asked.gallery is None else services.galleries.get(asked.gallery)
    model_id = services.model_id if gallery is None else check_model(services, gallery)
    if asked.attributes:
        check_attributes(services)
    media_url = asked.media_url if isinstance(asked, JobLink) else None
    if media_url is not None:
        check_url(media_url, services.settings.decode.fetch_allowed)
    if asked.webhook_url is not None:
        check_url(asked.webhook_url, services.settings.webhook.allowed, WEBHOOK_URL)
    job_id = str(uuid.uuid4())
    blob_key = f"jobs/{job_id}/media"
    source = media_url if upload is None else upload.sha256
    job = NewJob(
        job_id=job_id,
        priority=JOB_PRIORITIES[asked.priority],
        gallery_id=None if gallery is None else str(gallery["id"]),
        options={
            **asdict(_resolve(services, asked, gallery, model_id)),
            "gallery": asked.gallery,
            "asked_min_similarity": asked.min_similarity,
        },
        model_id=model_id,
        blob_key=blob_key,
        media_url=media_url,
        media_sha256=None if upload is None else upload.sha256,
        webhook_url=asked.webhook_url,
        owner=owner,
        idempotency_key=idempotency_key,
        fingerprint=_fingerprint(asked, source),
    )
    if upload is not None:
        upload.commit(blob_key)
    try:
        row, is_new = services.jobs.create(job)
    except TransientError:  # the row may be there although the answer was lost: its media must stay
        raise
    except Exception:
        services.blobs.delete(f"jobs/{job_id}")
        raise
    if not is_new:
        services.blobs.delete(f"jobs/{job_id}")
    return row, is_new


def retry(services: Services, job_id: str) -> Row:
    """See `Jobs.retry`."""

    def is_stored(blob_key: str) -> bool:
        try:
            services.blobs.path(blob_key)
        except NotFoundError:
            return False
        return True

    return services.jobs.retry(job_id, is_stored=is_stored)


def _resolve(services: Services, asked: JobForm, gallery: Row | None, model_id: str) -> Options:
    settings = services.settings
    return Options(
        gallery_id=None if gallery is None else str(gallery["id"]),
        min_similarity=resolve_min_similarity(asked.min_similarity, gallery, services.models.min_similarity(model_id)),
        min_margin=settings.match.min_margin if asked.min_margin is None else asked.min_margin,
        limit=asked.limit,
        sample_fps=settings.decode.sample_fps if asked.sample_fps is None else asked.sample_fps,
        model_id=model_id,
        attributes=asked.attributes,
    )


def _fingerprint(asked: JobForm, source: str | None) -> str:
    """Of the request as it was asked, so that a changed default of the server makes no retry another request."""
    document = json.dumps([asked.model_dump(mode="json"), source], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()
