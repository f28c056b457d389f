"""The audit and the receipts of erasures."""

from typing import Any

from pydantic import Field

from api.documents.shapes import Document, Id, NextCursor, Time


class Receipt(Document):
    """What an erasure removed; no biometric data."""

    version: int
    gallery: str
    subject_id: Id
    erased_at: str = Field(description="UTC, RFC 3339; text, since `sha256` is of it as it stands.")
    key_id: str = Field(description="API key; empty on a server that needs none.")
    request_id: str
    removed: dict[str, Any] = Field(description="Counts; embeddings by model.")
    exports: list[dict[str, Any]] = Field(description="Exports that hold the person, for the operator to delete.")
    jobs_under_way: list[str] = Field(
        description="Jobs of the gallery that had not ended; the face is a stranger there."
    )
    jobs_with_media: list[str] = Field(description="Jobs that showed the person and keep their upload for a retry.")
    sha256: str = Field(description="Of the rest as JSON with sorted keys and without spaces.")


class AuditLine(Document):
    """Who did what to whom."""

    id: int
    at: Time
    action: str
    key_id: str
    request_id: str
    gallery: str | None
    subject_ids: list[Id] = Field(description="At most 1000; `counts` tells of more.")
    job_id: Id | None
    counts: dict[str, int]
    receipt: dict[str, Any] | None


class AuditPage(Document):
    """The audit, newest first."""

    items: list[AuditLine]
    next_cursor: NextCursor
