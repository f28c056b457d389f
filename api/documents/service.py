"""Errors, and how the server is."""

from pydantic import Field

from api.documents.shapes import Document


class ErrorObject(Document):
    """What went wrong."""

    code: str
    message: str
    field: str = Field(default="", description="The request field at fault; absent if none is.")


class ErrorAnswer(Document):
    """The one shape of every error."""

    error: ErrorObject
    request_id: str


class Health(Document):
    """The process answers."""

    status: str = "ok"


class Readiness(Document):
    """Everything that a job needs is there."""

    status: str = "ready"
    model_id: str
    workers: dict[str, int] = Field(description="Live processes by stage.")
