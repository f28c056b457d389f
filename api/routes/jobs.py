"""Jobs: submit, look, cancel, try again, erase."""

from flask import g, request

from api.documents.jobs import Job, JobAccepted, JobPage
from api.documents.shapes import page_of
from api.operations import Audited, Body, Routes
from api.schemas import JobForm, JobLink, JobsQuery
from api.services import services
from api.submission import retry, submit
from api.uploads import FilePart, Upload

routes = Routes("jobs")

_KEY = "Idempotency-Key"


def _check_room() -> None:
    """Refuse before the upload is received; a retry of an accepted job may always come in."""
    if _KEY not in request.headers:
        services().jobs.check_room(g.owner)


@routes.post(
    "/v1/jobs",
    body=Body(json=JobLink, form=JobForm, files=(FilePart("media", "One image or video.", holds="media"),)),
    answer=JobAccepted,
    status=202,
    errors=("not_found", "conflict", "no_attribute_model", "too_large", "unsupported_media_type", "overloaded"),
    headers={_KEY: "Makes a retry safe: the same key and request give the same job. 1 to 255 printable characters."},
    admit=_check_room,
    audit=Audited("submit", job=lambda accepted: accepted.id),
)
def submit_job(body: JobForm, files: dict[str, list[Upload]]) -> tuple[JobAccepted, dict[str, str]]:
    """Submit an image or a video, as a file or as the address of one.

    Once this is answered with 202, the job ends in a final state whatever dies.
    """
    upload = files["media"][0] if "media" in files else None
    row, is_new = submit(services(), body, upload, owner=g.owner, idempotency_key=request.headers.get(_KEY))
    accepted = JobAccepted.from_row(row)
    return accepted, {"Location": accepted.links.self, **({} if is_new else {"Idempotent-Replayed": "true"})}


@routes.get("/v1/jobs", query=JobsQuery, answer=JobPage)
def list_jobs(query: JobsQuery) -> JobPage:
    """List jobs, newest first."""
    page = services().jobs.list(state=query.state, kind=query.kind, cursor=query.cursor, limit=query.limit)
    return JobPage(**page_of(page, Job.from_row))


@routes.get("/v1/jobs/{job}", answer=Job, errors=("not_found",))
def get_job(job: str) -> Job:
    """Look at a job."""
    return Job.from_row(services().jobs.get(job))


@routes.post("/v1/jobs/{job}/cancel", answer=Job, errors=("not_found", "conflict"))
def cancel_job(job: str) -> Job:
    """Stop a job. What it has found so far stays; cancelling twice is harmless."""
    return Job.from_row(services().jobs.cancel(job))


@routes.post("/v1/jobs/{job}/retry", answer=Job, errors=("not_found", "conflict", "overloaded"))
def retry_job(job: str) -> Job:
    """Run again what failed in a partial or failed job.

    Time ranges that were processed keep their results; at the end, tracks and appearances are decided anew.
    """
    return Job.from_row(retry(services(), job))


@routes.delete("/v1/jobs/{job}", status=204, errors=("not_found",))
def delete_job(job: str) -> None:
    """Erase a job with its results, crops and upload; one that still runs is stopped."""
    here = services()
    here.jobs.delete(job)
    here.blobs.delete(f"jobs/{job}")
