"""Calibrating a gallery on itself."""

from flask import Response, g

from api.documents.jobs import JobAccepted
from api.operations import Audited, Body, Routes
from api.schemas import CalibrateRequest
from api.services import services
from common.contracts import JOB_PRIORITIES
from common.errors import NotFoundError
from common.media_url import WEBHOOK_URL, check_url
from common.store.bulk import create_bulk_job

routes = Routes("calibration")

_DEFAULT_FMR = 1e-3


@routes.post(
    "/v1/galleries/{gallery}/calibrate",
    body=Body(json=CalibrateRequest),
    answer=JobAccepted,
    status=202,
    errors=("not_found", "too_large", "unsupported_media_type", "overloaded"),
    admit=lambda: services().jobs.check_room(g.owner),
    audit=Audited("calibrate", job=lambda accepted: accepted.id),
)
def calibrate_gallery(gallery: str, body: CalibrateRequest) -> tuple[JobAccepted, dict[str, str]]:
    """Measure which `min_similarity` gives a wished false match rate on this gallery's own samples.

    The job's `report` has the false match and false non-match rates over the bound, a recommendation with its
    confidence interval, and subjects and samples that look like a mistake.
    """
    here = services()
    row = here.galleries.get(gallery)
    if body.webhook_url is not None:
        check_url(body.webhook_url, here.settings.webhook.allowed, WEBHOOK_URL)
    fmr = _DEFAULT_FMR if body.fmr is None and body.fpir is None else body.fmr
    with here.database.transaction() as cursor:
        job = create_bulk_job(
            cursor,
            kind="calibrate",
            model_id=row["model_id"],
            options={
                "gallery": gallery,
                "fmr": fmr,
                "fpir": body.fpir,
                "extrapolate": body.extrapolate,
                "save": body.save,
            },
            gallery_id=str(row["id"]),
            owner=g.owner,
            webhook_url=body.webhook_url,
            priority=JOB_PRIORITIES[body.priority],
        )
    accepted = JobAccepted.from_row(job)
    return accepted, {"Location": accepted.links.self}


@routes.get("/v1/jobs/{job}/calibration.png", media_types=("image/png",), errors=("not_found",))
def get_calibration_picture(job: str) -> Response:
    """The rates of a calibration over the bound, drawn."""
    try:
        data = services().blobs.read(f"jobs/{job}/calibration.png")
    except NotFoundError as error:
        raise NotFoundError("There is no such picture; a calibration has one once it has finished.") from error
    return Response(data, mimetype="image/png", headers={"Cache-Control": "private, max-age=300"})
