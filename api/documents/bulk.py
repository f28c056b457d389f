"""Bulk jobs."""

from pydantic import Field

from api.documents.shapes import Document


class CleanedIndex(Document):
    """What was removed of a gallery's former indexes."""

    samples: int = Field(description="Embeddings of samples.")
    tracks: int = Field(description="Embeddings of tracks.")
