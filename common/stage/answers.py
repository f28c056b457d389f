"""The answer of an interactive call, as a JSON document."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.records import Attributes
from common.types import Candidate, Detections, Faces, Float32s, Guesses, Tracklets, split_bytes


def describe_detections(faces: Faces) -> dict[str, Any]:
    """What detect knows: boxes, landmarks, scores. Faces in order of falling score."""
    return {**_picture(faces.frame_size), "faces": _faces(faces.detections)}


def describe_faces(
    found: Tracklets, model_id: str, candidates: Sequence[Sequence[Candidate]] | None = None
) -> dict[str, Any]:
    """What embed knows (one tracklet a face), and match if `candidates` are given.

    What was guessed is there where it was asked for and something came out.
    """
    documents = _faces(found.detections)
    crops = split_bytes(found.crop_jpegs, found.crop_ends)
    for i, document in enumerate(documents):
        tracklet = int(found.tracklet[i])
        document["quality"] = _number(found.quality[i])
        document["sharpness"] = _number(found.sharpness[i])
        document["frontality"] = _number(found.frontality[i])
        document["embedding"] = found.embeddings[tracklet].astype(float).round(7).tolist()
        best = np.flatnonzero(found.crop_tracklet == tracklet)[0]
        document["crop"] = base64.b64encode(crops[best]).decode()
        document.update(_guesses(found.guesses, best))
        if candidates is not None:
            document["candidates"] = [
                {"subject_id": candidate.subject_id, "similarity": candidate.similarity}
                for candidate in candidates[tracklet]
            ]
    return {**_picture(found.frame_size), "model_id": model_id, "faces": documents}


def _picture(frame_size: Any) -> dict[str, int]:
    return {"width_px": int(frame_size[0]), "height_px": int(frame_size[1])}


def _faces(detections: Detections) -> list[dict[str, Any]]:
    return [
        {
            "box": detections.boxes[i].astype(float).round(3).tolist(),
            "det_score": round(float(detections.det_scores[i]), 5),
            "landmarks": _points(detections.landmarks[i]),
        }
        for i in range(len(detections))
    ]


def _guesses(guesses: Guesses, crop: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if not np.isnan(guesses.age[crop]):
        attributes = Attributes(float(guesses.age[crop]), float(guesses.female_score[crop]))
        document["attributes"] = attributes.describe()
    if not np.isnan(guesses.pose[crop]).any():
        angles = guesses.pose[crop].astype(float).round(2).tolist()
        document["pose"] = dict(zip(("pitch", "yaw", "roll"), angles, strict=True))
    for name, points in (("landmarks_106", guesses.landmarks_106), ("landmarks_68", guesses.landmarks_68)):
        if points.size:
            document[name] = _points(points[crop])
    return document


def _points(points: Float32s) -> list[list[float]] | None:
    """(k, 2 or 3) float32 as lists; None where the detector gives no landmarks."""
    return None if np.isnan(points).any() else points.astype(float).round(3).tolist()


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)
