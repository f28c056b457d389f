"""Galleries on the move: the lines of an export, and what became of an import."""

import base64
import hashlib
import json
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field

from api.documents.shapes import Document, Id, Time
from common.store.paging import Row

FORMAT = "facepipe-gallery"
VERSION = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ExportHead(Document):
    """First line: what this is."""

    kind: Literal["gallery"] = "gallery"
    format: Literal["facepipe-gallery"] = "facepipe-gallery"
    version: int = VERSION
    export_id: Id
    exported_at: Time
    name: str
    model_id: str
    min_similarity: float | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From what `Exports.begin` gives."""
        return cls(**row, exported_at=row["began_at"])


class ExportedSubject(Document):
    """A person; the samples follow."""

    kind: Literal["subject"] = "subject"
    id: Id
    name: str
    external_id: str | None
    metadata: dict[str, Any]
    created_at: Time


class ExportedEmbedding(Document):
    """An embedding of unit length: little-endian IEEE half floats, in base64, with the SHA-256 of these bytes."""

    model_id: str
    float16: str
    sha256: Sha256

    @classmethod
    def from_text(cls, model_id: str, text: str) -> Self:
        """From PostgreSQL's text of a halfvec, which is exact."""
        data = np.asarray(json.loads(text), "<f2").tobytes()
        return cls(model_id=model_id, float16=base64.b64encode(data).decode(), sha256=hashlib.sha256(data).hexdigest())


class ExportedSample(Document):
    """A sample with its aligned crop as a JPEG in base64; `crop` is null when the file is gone."""

    kind: Literal["sample"] = "sample"
    id: Id
    subject_id: Id
    det_score: float
    quality: float
    image_sha256: str | None
    created_at: Time
    embeddings: list[ExportedEmbedding]
    crop: str | None
    crop_sha256: str | None

    @classmethod
    def from_row(cls, row: Row, subject_id: str, crop: bytes | None) -> Self:
        """From a row of `Exports.samples` and its crop."""
        return cls.model_validate(
            {
                **row,
                "subject_id": subject_id,
                "embeddings": [ExportedEmbedding.from_text(*pair) for pair in row["embeddings"]],
                "crop": None if crop is None else base64.b64encode(crop).decode(),
                "crop_sha256": None if crop is None else hashlib.sha256(crop).hexdigest(),
            }
        )


class ExportEnd(Document):
    """Last line; an export without it was cut short."""

    kind: Literal["end"] = "end"
    subjects: int
    samples: int


class Imported(Document):
    """What became of a moved subject."""

    id: Id = Field(description="Its id here: the one it came with, unless that is taken.")
    is_new: bool
    samples: int = Field(description="Stored now.")
    missing: list[Id] = Field(description="Ids, as they came, of samples that are not here; send their crops.")
    without_embedding: int = Field(
        description="Stored now and not searchable yet: their embedding is missing, broken or of another model."
        " `POST /v1/galleries/{gallery}/reindex` makes it from the crops."
    )
