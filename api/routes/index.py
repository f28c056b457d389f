"""How a gallery is searched: exactly, or by an approximate index that was measured."""

from flask import g

from api.documents.galleries import Gallery
from api.operations import Audited, Body, Routes
from api.schemas import IndexRequest
from api.services import services
from common.contracts import JOB_PRIORITIES
from common.media_url import WEBHOOK_URL, check_url

routes = Routes("galleries")

_DEFAULT_MIN_RECALL = 0.99


@routes.patch(
    "/v1/galleries/{gallery}/index",
    body=Body(json=IndexRequest),
    answer=Gallery,
    errors=("not_found", "conflict", "too_large", "unsupported_media_type", "overloaded"),
    audit=Audited("change_index", job=lambda changed: changed.index.job_id),
)
def change_index(gallery: str, body: IndexRequest) -> Gallery:
    """Choose how a gallery is searched.

    `hnsw` starts a bulk job, `index.job_id`, that builds an approximate index beside searches and enrolments, and
    measures how often it finds the best match. The index is used from then on if that reaches `min_recall`, and
    refused otherwise. `exact` ends its use at once.
    """
    here = services()
    if body.kind == "exact":
        here.approximate.go_back(gallery)
        return Gallery(**here.galleries.describe(gallery))
    here.galleries.get(gallery)
    here.jobs.check_room(g.owner)
    if body.webhook_url is not None:
        check_url(body.webhook_url, here.settings.webhook.allowed, WEBHOOK_URL)
    here.approximate.ask(
        gallery,
        min_recall=_DEFAULT_MIN_RECALL if body.min_recall is None else body.min_recall,
        owner=g.owner,
        webhook_url=body.webhook_url,
        priority=JOB_PRIORITIES[body.priority],
    )
    return Gallery(**here.galleries.describe(gallery))
