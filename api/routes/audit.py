"""The audit: who did what to whom."""

from api.documents.records import AuditLine, AuditPage
from api.documents.shapes import page_of
from api.operations import Routes
from api.schemas import AuditQuery
from api.services import services

routes = Routes("audit")


@routes.get("/v1/audit", query=AuditQuery, answer=AuditPage)
def list_audit(query: AuditQuery) -> AuditPage:
    """Who enrolled, searched, exported, erased whom, and when; newest first.

    No images, embeddings or names: ids and counts. Lines are never changed or removed by the server.
    """
    page = services().audit.list(
        action=query.action,
        gallery=query.gallery,
        subject_id=None if query.subject is None else str(query.subject),
        since=query.since,
        until=query.until,
        cursor=query.cursor,
        limit=query.limit,
    )
    return AuditPage(**page_of(page, lambda row: AuditLine(**row)))
