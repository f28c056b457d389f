"""Jobs."""

from typing import Self

from api.documents.shapes import Document, Id, NextCursor
from common.contracts import JobState
from common.documents import Job, JobLinks
from common.store.paging import Row

__all__ = ["Job", "JobAccepted", "JobLinks", "JobPage"]


class JobAccepted(Document):
    """A job that was accepted."""

    id: Id
    state: JobState
    links: JobLinks

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From a row of `jobs`."""
        return cls(id=str(row["id"]), state=row["state"], links=JobLinks.of(str(row["id"])))


class JobPage(Document):
    """Jobs, newest first."""

    items: list[Job]
    next_cursor: NextCursor
