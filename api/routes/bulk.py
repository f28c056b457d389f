"""Work over what is stored: re-index a gallery for another model and back, and match finished jobs again."""

from collections.abc import Callable
from typing import Any

from flask import g

from api.documents.bulk import CleanedIndex
from api.documents.jobs import JobAccepted
from api.operations import Audited, Body, Routes, View
from api.schemas import BulkRequest, ReindexRequest, RematchRequest
from api.services import Services, services
from common.contracts import JOB_PRIORITIES
from common.errors import BadInputError
from common.media_url import WEBHOOK_URL, check_url
from common.store.paging import Row

routes = Routes("bulk jobs")

_GALLERY = "/v1/galleries/{gallery}"
_ERRORS = ("not_found", "conflict", "model_mismatch", "too_large", "unsupported_media_type", "overloaded")


def _check_room() -> None:
    services().jobs.check_room(g.owner)


def _accepting(action: str, asked: type[BulkRequest]) -> Callable[[View], View]:
    """The route of an action that becomes a bulk job of a gallery."""
    return routes.post(
        f"{_GALLERY}/{action}",
        body=Body(json=asked),
        answer=JobAccepted,
        status=202,
        errors=_ERRORS,
        admit=_check_room,
        audit=Audited(action, job=lambda accepted: accepted.id),
    )


@_accepting("reindex", ReindexRequest)
def reindex_gallery(gallery: str, body: ReindexRequest) -> tuple[JobAccepted, dict[str, str]]:
    """Move a gallery to another embedding model.

    Every sample, and every track of the gallery's jobs, is embedded again from its stored crop, beside the live index.
    The job's `report` says who would be matched differently; then the gallery switches at once and as a whole.
    Searches go on all the time. The former index stays for a rollback until it is cleaned away.
    """
    here = services()
    options = {
        "model": body.model,
        "dry_run": body.dry_run,
        "switch": body.switch,
        "allow_missing": body.allow_missing,
        "min_similarity": body.min_similarity,
    }
    return _accepted(
        here.reindex.create(
            gallery, model_id=here.models.choose(body.model).model_id, options=options, **_common(here, body)
        )
    )


@_accepting("rollback", BulkRequest)
def rollback_gallery(gallery: str, body: BulkRequest) -> tuple[JobAccepted, dict[str, str]]:
    """Go back to the index that a gallery had before its last switch.

    Answers are what they were, with the same bounds; who was enrolled since is embedded for the former model first.
    """
    here = services()
    former = here.galleries.get(gallery)["previous_model_id"]
    if former is not None:
        here.models.pack(former)
    return _accepted(here.reindex.create(gallery, model_id=None, options={"is_rollback": True}, **_common(here, body)))


@routes.post(_GALLERY + "/clean", answer=CleanedIndex, errors=("not_found", "conflict"), audit=Audited("clean"))
def clean_gallery(gallery: str) -> CleanedIndex:
    """Remove every index of a gallery but the live one; there is no rollback after it."""
    return CleanedIndex(**services().reindex.clean(gallery))


@_accepting("rematch", RematchRequest)
def rematch_gallery(gallery: str, body: RematchRequest) -> tuple[JobAccepted, dict[str, str]]:
    """Decide anew who is seen in finished jobs, against a gallery as it is now, without decoding anything.

    Tracks and appearances of a job change together. The job's `report` lists the tracks that are somebody else now;
    jobs that changed and have a `webhook_url` post their document again.
    """
    here = services()
    row = here.galleries.get(gallery)
    here.models.pack(row["model_id"])
    if body.since is not None and body.until is not None and body.since >= body.until:
        raise BadInputError("`since` must be before `until`.", field="since")
    asked = body.model_dump(mode="json", include={"since", "until", "min_similarity"})
    options = {
        **asked,
        "job_ids": [str(job_id) for job_id in body.jobs],
        "subject_ids": [str(subject_id) for subject_id in body.subjects],
    }
    return _accepted(here.rematch.create(row, options=options, **_common(here, body)))


def _common(here: Services, body: BulkRequest) -> dict[str, Any]:
    if body.webhook_url is not None:
        check_url(body.webhook_url, here.settings.webhook.allowed, WEBHOOK_URL)
    return {"owner": g.owner, "webhook_url": body.webhook_url, "priority": JOB_PRIORITIES[body.priority]}


def _accepted(row: Row) -> tuple[JobAccepted, dict[str, str]]:
    accepted = JobAccepted.from_row(row)
    return accepted, {"Location": accepted.links.self}
