"""The answer of an interactive call, as a JSON document."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.types import Candidate, Detections, Faces, Tracklets, split_bytes


def describe_detections(faces: Faces) -> dict[str, Any]:
    """What detect knows: boxes, landmarks, scores. Faces in order of falling score."""
    return {**_picture(faces.frame_size), "faces": _faces(faces.detections)}


def describe_faces(
    found: Tracklets, model_id: str, candidates: Sequence[Sequence[Candidate]] | None = None
) -> dict[str, Any]:
    """What embed knows (one tracklet a face), and match if `candidates` are given."""
    documents = _faces(found.detections)
    crops = split_bytes(found.crop_jpegs, found.crop_ends)
    for i, document in enumerate(documents):
        tracklet = int(found.tracklet[i])
        document["quality"] = _number(found.quality[i])
        document["sharpness"] = _number(found.sharpness[i])
        document["embedding"] = found.embeddings[tracklet].astype(float).round(7).tolist()
        best = np.flatnonzero(found.crop_tracklet == tracklet)[0]
        document["crop"] = base64.b64encode(crops[best]).decode()
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
            "landmarks": detections.landmarks[i].astype(float).round(3).tolist(),
        }
        for i in range(len(detections))
    ]


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)
