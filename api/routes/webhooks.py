"""Webhooks: look what became of them, deliver again."""

from api.documents.shapes import page_of
from api.documents.webhooks import Webhook, WebhookPage
from api.operations import Routes
from api.schemas import WebhooksQuery
from api.services import services

routes = Routes("webhooks")


@routes.get("/v1/webhooks", query=WebhooksQuery, answer=WebhookPage)
def list_webhooks(query: WebhooksQuery) -> WebhookPage:
    """List deliveries of final documents, newest first."""
    job_id = None if query.job is None else str(query.job)
    page = services().webhooks.list(state=query.state, job_id=job_id, cursor=query.cursor, limit=query.limit)
    return WebhookPage(**page_of(page, Webhook.from_row))


@routes.post("/v1/webhooks/{webhook}/replay", answer=Webhook, errors=("not_found",))
def replay_webhook(webhook: str) -> Webhook:
    """Deliver again, at once and with fresh attempts, whatever became of it.

    It has the same Facepipe-Delivery as before.
    """
    return Webhook.from_row(services().webhooks.replay(webhook))
