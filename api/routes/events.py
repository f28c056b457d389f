"""Following a job."""

from functools import partial

from flask import Response, request

from api.documents.jobs import Job
from api.errors import error_document
from api.operations import Routes
from api.request_id import current_request_id
from api.services import services
from api.streams import job_events
from common.errors import BadInputError

routes = Routes("jobs")

_MEDIA_TYPE = "text/event-stream"


@routes.get(
    "/v1/jobs/{job}/events",
    media_types=(_MEDIA_TYPE,),
    errors=("not_found",),
    headers={"Last-Event-ID": "The last event that the client has seen; what came since is sent at once."},
)
def follow_job(job: str) -> Response:
    """Follow a job by Server-Sent Events.

    `progress` carries the job's document whenever it has changed, `end` the final one, after which the stream closes.
    The event id is the job's revision.
    """
    here = services()
    revision = _last_revision(request.headers.get("Last-Event-ID"))
    here.jobs.get(job)
    free = here.event_slots.take()
    events = job_events(
        here.changes,
        job,
        revision=revision,
        render=Job.from_row,
        render_error=partial(error_document, request_id=current_request_id()),
    )
    response = Response(events, mimetype=_MEDIA_TYPE, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.call_on_close(free)
    return response


def _last_revision(text: str | None) -> int:
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadInputError("Last-Event-ID is the id of an event of this stream, a number.", field="Last-Event-ID")
    return int(text)
