"""Webhooks: final documents that the server posts to the `webhook_url` of their jobs."""

from collections.abc import Iterator

from facepipe.documents import Webhook
from facepipe.paging import items_of
from facepipe.transport import Transport, path_of


class Webhooks:
    """`client.webhooks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, state: str | None = None, job_id: str | None = None) -> Iterator[Webhook]:
        """Deliveries, newest first.

        Args:
            state: pending, delivered or failed.
            job_id: only those of one job.
        """
        query = {"state": state, "job": job_id}
        wanted = {name: value for name, value in query.items() if value is not None}
        return map(Webhook.from_wire, items_of(self._transport, path_of("webhooks"), wanted))

    def replay(self, webhook_id: str) -> Webhook:
        """Deliver again, whatever became of it. Raises NotFoundError."""
        return Webhook.from_wire(self._transport.call("POST", path_of("webhooks", webhook_id, "replay")))
