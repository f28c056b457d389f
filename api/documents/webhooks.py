"""Webhooks."""

from typing import Literal, Self

from pydantic import Field

from api.documents.shapes import Document, Id, NextCursor, Time
from common.store.paging import Row


class Webhook(Document):
    """The delivery of a job's final document."""

    id: Id = Field(description="Sent with every attempt as Facepipe-Delivery.")
    job_id: Id
    url: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int = Field(description="Ever made.")
    next_at: Time | None = Field(description="Of a pending one: when it is attempted next.")
    last_status: int | None = Field(description="HTTP status of the last answer; null when none came.")
    last_error: str | None
    created_at: Time
    delivered_at: Time | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From a row of `webhooks`."""
        return cls.model_validate({**row, "next_at": row["next_at"] if row["state"] == "pending" else None})


class WebhookPage(Document):
    """Webhooks, newest first."""

    items: list[Webhook]
    next_cursor: NextCursor
