"""Answers of interactive calls."""

from typing import Any

from pydantic import Field

from api.documents.shapes import Box, Document, Id, Landmarks


class Face(Document):
    """A face in a picture."""

    box: Box
    det_score: float
    landmarks: Landmarks


class EmbeddedFace(Face):
    """A face with its embedding."""

    quality: float | None
    embedding: list[float] = Field(description="Unit length.")


class NamedCandidate(Document):
    """A subject that may be the one in the picture."""

    subject_id: Id
    name: str
    similarity: float
    metadata: dict[str, Any]


class SearchedFace(Face):
    """A face with the subjects it may belong to, best first."""

    candidates: list[NamedCandidate]


class Picture(Document):
    """What every answer about one picture has."""

    width_px: int
    height_px: int


class DetectedFaces(Picture):
    """Faces by falling score."""

    faces: list[Face]


class EmbeddedFaces(Picture):
    """Faces by falling score, with embeddings of one model."""

    faces: list[EmbeddedFace]
    model_id: str


class SearchedFaces(Picture):
    """Faces by falling score, with candidates."""

    faces: list[SearchedFace]
    model_id: str
    min_similarity: float


class Comparison(Document):
    """How alike the largest faces of two pictures are."""

    similarity: float
    matched: bool
    min_similarity: float
    model_id: str
    source: Face
    target: Face
