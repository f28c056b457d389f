"""Small builders of contract objects, with defaults that a test overrides where it matters."""

import uuid
from typing import Any

import numpy as np
import psycopg2.extras

from common.contracts import Options, Priority, StepKind, StepRef
from common.records import Segment, StoredTracklet, Track
from common.store.database import Database
from common.types import Float32s, Guesses, Tracklets, join_bytes

MODEL_ID = "test-model-1"


def a_unit_vector(*, seed: int = 0, dim: int = 8) -> Float32s:
    """(dim,) float32 of length 1; different seeds are nearly orthogonal only in high dimensions."""
    vector = np.random.default_rng(seed).normal(size=dim)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def a_job(database: Database, *, priority: Priority = Priority.NORMAL, options: Options | None = None) -> str:
    """A queued job with its plan step, as the API leaves it."""
    job_id = str(uuid.uuid4())
    with database.transaction() as cursor:
        cursor.execute(
            "insert into jobs (id, priority, options, model_id, blob_key) values (%s, %s, %s, %s, %s)",
            (
                job_id,
                int(priority),
                psycopg2.extras.Json({} if options is None else {"sample_fps": options.sample_fps}),
                MODEL_ID,
                f"jobs/{job_id}/media",
            ),
        )
        cursor.execute("insert into steps (job_id, kind, ordinal) values (%s, 'plan', 0)", (job_id,))
    return job_id


def some_segments(count: int, *, frames: int = 2) -> list[Segment]:
    """Segments of one second each."""
    return [
        Segment(
            i,
            i * 1000,
            (i + 1) * 1000,
            np.arange(i * frames, (i + 1) * frames, dtype=np.int64),
            i * 1000 + np.arange(frames, dtype=np.int64) * (1000 // frames),
        )
        for i in range(count)
    ]


def some_tracklets(*, frames: int = 2, faces_per_frame: int = 1, first_frame: int = 0, dim: int = 8) -> Tracklets:
    """Every frame has the same faces, one tracklet a face position."""
    total = frames * faces_per_frame
    frame = np.repeat(np.arange(frames), faces_per_frame).astype(np.int32)
    tracklet = np.tile(np.arange(faces_per_frame), frames).astype(np.int32)
    embeddings = np.array([a_unit_vector(seed=i, dim=dim) for i in range(faces_per_frame)], np.float32)
    jpegs, ends = join_bytes([f"crop {i}".encode() for i in range(faces_per_frame)])
    thumbs, thumb_ends = join_bytes([f"thumb {i}".encode() for i in range(faces_per_frame)])
    return Tracklets(
        frame_index=np.arange(first_frame, first_frame + frames, dtype=np.int64),
        media_time_ms=np.arange(first_frame, first_frame + frames, dtype=np.int64) * 200,
        frame_size=np.array([640, 480], np.int32),
        frame=frame,
        boxes=np.array([[10 + 100 * t, 10, 60 + 100 * t, 70] for t in tracklet], np.float32).reshape(total, 4),
        landmarks=np.zeros((total, 5, 2), np.float32),
        det_scores=np.full(total, 0.9, np.float32),
        tracklet=tracklet,
        quality=np.full(total, 0.5, np.float32),
        sharpness=np.full(total, 0.5, np.float32),
        frontality=np.full(total, 0.5, np.float32),
        embeddings=embeddings.reshape(faces_per_frame, dim),
        best_face=np.arange(faces_per_frame, dtype=np.int32),
        crop_tracklet=np.arange(faces_per_frame, dtype=np.int32),
        crop_face=np.arange(faces_per_frame, dtype=np.int32),
        crop_embeddings=embeddings.reshape(faces_per_frame, dim),
        crop_jpegs=jpegs,
        crop_ends=ends,
        **{f"crop_{name}": array for name, array in Guesses.nothing(faces_per_frame).to_arrays().items()},
        thumb_jpegs=thumbs,
        thumb_ends=thumb_ends,
    )


def a_stored_tracklet(**changes: Any) -> StoredTracklet:
    """One second long, at one place, of one person."""
    embedding = changes.pop("embedding", a_unit_vector())
    defaults: dict[str, Any] = {
        "ordinal": 0,
        "tracklet": 0,
        "start_ms": 0,
        "end_ms": 800,
        "detections": 5,
        "first_box": np.array([100, 100, 200, 220], np.float32),
        "last_box": np.array([100, 100, 200, 220], np.float32),
        "quality": 0.5,
        "embedding": embedding,
        "crop_embeddings": embedding[None],
    }
    return StoredTracklet(**(defaults | changes))


def a_track(**changes: Any) -> Track:
    """A track of subject `anna`."""
    defaults: dict[str, Any] = {
        "track": 0,
        "start_ms": 0,
        "end_ms": 1000,
        "detections": 5,
        "quality": 0.5,
        "members": (0,),
        "embedding": a_unit_vector(),
        "subject_id": "anna",
        "stranger": None,
        "similarity": 0.6,
        "candidates": (),
        "crops": 1,
    }
    return Track(**(defaults | changes))


def a_step_ref(job_id: str, kind: StepKind = StepKind.PLAN, ordinal: int = 0, attempt: int = 1) -> StepRef:
    """The first attempt at a step."""
    return StepRef(job_id, kind, ordinal, attempt)
