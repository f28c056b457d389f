"""A house for bulk jobs: real stores, two model packs, and the pools' own handlers, called one message at a time."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import psycopg2.extras

from common.contracts import TASK_EMBED_CHUNK
from common.models import Models
from common.settings import FrameSettings, Settings
from common.stage.bulk import make_bulk_tasks, make_chunk_task
from common.stage.runtime import Runtime
from common.store.database import vector_literal
from common.store.galleries import Galleries, NewSample, NewSubject
from common.store.jobs import Jobs
from common.store.paging import Row
from common.store.reindex import Reindex
from common.store.rematch import Rematch
from common.store.schedule import BULK, LIGHT, Outgoing, Schedule
from common.store.search import GallerySearch
from common.types import Arrays, Candidate, Float32s, Uint8s
from workers.embed.embedder import Embedder
from workers.embed.jpeg import encode_crop
from workers.embed.reembed import Reembedder
from workers.match.bulk import make_kinds

OLD, NEW = "old-model", "new-model"
MIN_SIMILARITY = {OLD: 0.6, NEW: 0.5}
DIM = {OLD: 24, NEW: 40}
ROOM = {"decode": 100, LIGHT: 100, "match": 100, BULK["match"]: 1, BULK["embed"]: 2}


class ProjectingNetwork:
    """A network of plain arithmetic: a crop shrunk to 8 x 8, times a matrix of its own; a `ModelSession`."""

    def __init__(self, model_id: str) -> None:
        self._matrix = np.random.default_rng(len(model_id) + DIM[model_id]).normal(size=(192, DIM[model_id]))
        self.inputs = [("crops", ("n", 3, 112, 112))]
        self.outputs = [("embeddings", ("n", DIM[model_id]))]

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """(n, 3, 112, 112) float32 to (n, dim)."""
        crops = feeds["crops"]
        small = crops.reshape(len(crops), 3, 8, 14, 8, 14).mean(axis=(3, 5)).reshape(len(crops), 192)
        return [(small @ self._matrix).astype(np.float32)]


class BulkHouse:
    """See the module."""

    def __init__(self, database_url: str, redis_url: str, home: Path) -> None:
        for model_id in (OLD, NEW):
            write_pack(home / "models", model_id)
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            home=home,
            model_pack=f"{OLD}-pack",
            frames=FrameSettings(directory=home / "frames"),
        )
        self.models = Models(settings.model_pack, settings.packs_path)
        self.embedders = {
            model_id: Embedder(ProjectingNetwork(model_id), self.models.pack(model_id).embedder)
            for model_id in (OLD, NEW)
        }
        self._runtimes = (Runtime(settings, "match"), Runtime(settings, "embed"))
        match, embed = self._runtimes
        self.search = GallerySearch(match.database, index_bytes=settings.match.index_bytes)
        self.database = match.database
        self.blobs = match.blobs
        reembedder = Reembedder(embed.database, embed.blobs, self.embedders.__getitem__, batch_size=16)
        self._handlers = {
            **make_bulk_tasks(match, make_kinds(match, self.models, self.search)),
            TASK_EMBED_CHUNK: make_chunk_task(embed, reembedder.chunk, stage="embed"),
        }
        self.schedule = Schedule(self.database, settings.lease, settings.decode.span_segments)
        self.jobs = Jobs(self.database, max_open=1000)
        self.galleries = Galleries(self.database)
        self.reindex = Reindex(self.database)
        self.rematch = Rematch(self.database)
        self.gallery_id = str(uuid.uuid4())
        self.galleries.create(self.gallery_id, "staff", OLD, None)

    def close(self) -> None:
        """End both pools."""
        for runtime in self._runtimes:
            runtime.close()

    @property
    def gallery(self) -> Row:
        """The gallery with its counts and its index."""
        return self.galleries.describe("staff")

    def embed(self, model_id: str, crops: Sequence[Uint8s]) -> Float32s:
        """(n, dim) float32, of what the crops are once they were stored."""
        return self.embedders[model_id].embed(np.stack([stored(crop) for crop in crops]), batch_size=16, check=no_check)

    def enrol(self, name: str, crops: Sequence[Uint8s], *, model_id: str = OLD) -> str:
        """A subject with these crops as samples; its id."""
        subject_id = str(uuid.uuid4())
        samples = []
        for crop, embedding in zip(crops, self.embed(model_id, crops), strict=True):
            sample_id = str(uuid.uuid4())
            key = f"galleries/{self.gallery_id}/{subject_id}/{sample_id}.jpg"
            self.blobs.put(key, encode_crop(crop))
            samples.append(NewSample(sample_id, 0.9, 0.9, key, embedding.tolist()))
        self.galleries.add_subject("staff", model_id, NewSubject(subject_id, name, None, {}), samples)
        return subject_id

    def finished_job(self, crops: Sequence[Uint8s], *, model_id: str = OLD, **job: Any) -> str:
        """A finished media job with one track a crop, all unknown, each two seconds after the other."""
        job_id = str(uuid.uuid4())
        embeddings = self.embed(model_id, crops)
        options = {"sample_fps": 5.0, "limit": 5, "min_margin": 0.05, "gallery_id": self.gallery_id, "gallery": "staff"}
        columns = {"gallery_id": self.gallery_id, "webhook_url": None, **job}
        with self.database.transaction() as cursor:
            cursor.execute(
                "insert into jobs (id, state, priority, options, model_id, blob_key, media, gallery_id, webhook_url)"
                " values (%s, 'succeeded', 6, %s, %s, 'k', '{\"kind\": \"video\"}', %s, %s)",
                (job_id, psycopg2.extras.Json(options), model_id, columns["gallery_id"], columns["webhook_url"]),
            )
            for number, embedding in enumerate(embeddings):
                cursor.execute(
                    "insert into tracks (job_id, track, start_ms, end_ms, detections, quality, stranger, candidates,"
                    " crops) values (%s, %s, %s, %s, 5, 0.5, %s, '[]', 1)",
                    (job_id, number, number * 10_000, number * 10_000 + 800, number + 1),
                )
                cursor.execute(
                    "insert into track_embeddings values (%s, %s, %s, %s::halfvec)",
                    (job_id, number, model_id, vector_literal(embedding)),
                )
        for number, crop in enumerate(crops):
            self.blobs.put(f"jobs/{job_id}/tracks/{number}.0.jpg", encode_crop(crop))
        return job_id

    def claim(self) -> list[Outgoing]:
        """What the scheduler would send now."""
        return self.schedule.claim(ROOM)

    def handle(self, outgoing: Outgoing) -> None:
        """What the pool would do with it."""
        self._handlers[outgoing.task](outgoing.message.to_wire())

    def run(self, job: Row | str, *, steps: int = 1000) -> Row:
        """Work until nothing is left to do, or for so many steps; the job's row."""
        job_id = job if isinstance(job, str) else str(job["id"])
        while steps > 0 and (sent := self.claim()):
            for outgoing in sent:
                self.handle(outgoing)
                steps -= 1
        return self.jobs.get(job_id)

    def die(self) -> int:
        """Every step that is sent or running is lost, and found to be; how many were."""
        with self.database.transaction() as cursor:
            cursor.execute("update steps set lease_until = now() - interval '1 second' where lease_until is not null")
        return self.schedule.expire().revived

    def best(self, model_id: str, crops: Sequence[Uint8s]) -> list[tuple[Candidate, ...]]:
        """What a search says of these crops."""
        return self.search.candidates(self.gallery_id, model_id, self.embed(model_id, crops), limit=3)

    def appearances(self, job_id: str) -> list[tuple[str | None, int | None, int, int]]:
        """(subject, stranger, start_ms, end_ms) of a job, by start."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "select subject_id::text, stranger, start_ms, end_ms from appearances where job_id = %s"
                " order by start_ms",
                (job_id,),
            )
            return [tuple(row.values()) for row in cursor.fetchall()]


def some_face(person: int, picture: int = 0, *, noise: float = 12.0) -> Uint8s:
    """(112, 112, 3) uint8: blotches that a person has in all pictures, and noise that only this one has."""
    own = np.random.default_rng(person).normal(size=(8, 8, 3))
    other = np.random.default_rng([person, picture + 1]).normal(size=(8, 8, 3))
    large = cv2.resize((128 + 40 * own + noise * other).clip(0, 255), (112, 112), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large, np.uint8)


def stored(crop: Uint8s) -> Uint8s:
    """A crop as it comes back from the blob store."""
    data = np.frombuffer(encode_crop(crop), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def no_check() -> None:
    """Nobody wants to stop."""


def write_pack(folder: Path, model_id: str) -> None:
    """A pack whose manifest alone matters."""
    file = {"sha256": "0" * 64, "bytes": 1, "origin": "none", "input": {"side_px": 112, "mean": 127.5, "std": 127.5}}
    detector = {"name": "det.onnx", "task": "detection", "contract": "scrfd", "min_det_score": 0.5, "nms_iou": 0.4}
    embedder = {
        "name": "rec.onnx",
        "task": "embedding",
        "contract": "arcface",
        "dim": DIM[model_id],
        "model_id": model_id,
        "min_similarity": {"1e-3": MIN_SIMILARITY[model_id]},
    }
    manifest = {
        "format": 1,
        "name": f"{model_id}-pack",
        "version": "1",
        "description": "For tests.",
        "licence": {"name": "none", "commercial_use": True, "notice": "For tests."},
        "files": [{**model, **file} for model in (detector, embedder)],
    }
    (folder / f"{model_id}-pack").mkdir(parents=True)
    (folder / f"{model_id}-pack" / "manifest.json").write_text(json.dumps(manifest))
