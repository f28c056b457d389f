"""Answers of interactive calls."""

from typing import Any

from pydantic import Field

from api.documents.shapes import Attributes, Box, Document, Guessed, Id, Landmarks


class Pose(Document):
    """How a head is turned, in degrees; all 0 from the front."""

    pitch: float = Field(description="Positive: looks up.")
    yaw: float = Field(description="Positive: looks to the right of the picture.")
    roll: float = Field(description="Positive: turned clockwise.")


class Face(Document):
    """A face in a picture."""

    box: Box
    det_score: float
    landmarks: Landmarks | None = Field(description="null where the detector gives none.")


class GuessedFace(Face):
    """A face, and with `attributes` asked for what further networks of the pack say of it."""

    attributes: Guessed[Attributes] = None
    pose: Guessed[Pose] = None
    landmarks_106: Guessed[list[list[float]]] = Field(default=None, description="InsightFace's 106 points, [x, y], px.")
    landmarks_68: Guessed[list[list[float]]] = Field(
        default=None, description="iBUG's 68 points in space, [x, y, depth], px; depth grows towards the viewer."
    )


class EmbeddedFace(GuessedFace):
    """A face with its embedding."""

    quality: float | None
    embedding: list[float] = Field(description="Unit length.")


class NamedCandidate(Document):
    """A subject that may be the one in the picture."""

    subject_id: Id
    name: str
    similarity: float
    metadata: dict[str, Any]


class SearchedFace(GuessedFace):
    """A face with the subjects it may belong to, best first."""

    candidates: list[NamedCandidate]


class Picture(Document):
    """What every answer about one picture has."""

    width_px: int
    height_px: int


class DetectedFaces(Picture):
    """Faces by falling score."""

    faces: list[GuessedFace]


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
