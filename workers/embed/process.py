"""What the embed stage does with the faces of one stack of frames."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from common.types import Faces, Float32s, Guesses, Int32s, Int64s, Tracklets, Uint8s, join_bytes
from workers.embed.align import align_crops
from workers.embed.embedder import Embedder
from workers.embed.fuse import fuse, split_tracklets
from workers.embed.heads import NO_HEADS, Heads
from workers.embed.jpeg import encode_crop, encode_thumbnail
from workers.embed.quality import Quality, rate_geometry, rate_pose
from workers.embed.select import select_faces

#: Two crops of a tracklet may be of one person from this share of the calibrated `min_similarity` on, which is about
#: where one pair in a hundred of different people is as similar. Less strict than a match, since their places in
#: neighbouring frames already say that they are one.
SPLIT_SHARE: Final = 0.75

#: Sharpness is measured on this many times as many faces as are embedded.
MEASURED_SHARE: Final = 2


def embed_faces(
    faces: Faces,
    embedder: Embedder,
    *,
    crops_per_tracklet: int,
    batch_size: int,
    every_face: bool,
    check: Callable[[], None],
    heads: Heads = NO_HEADS,
    attributes: bool = False,
) -> Tracklets:
    """Embed the best crops of each tracklet and fuse them.

    Args:
        faces: detection's answer.
        embedder: see there.
        crops_per_tracklet: crops embedded per tracklet at most.
        batch_size: crops in one run of the network at most.
        every_face: every face is a tracklet of its own, and all are embedded and measured; for single pictures.
        check: called between runs; raises to stop.
        heads: what the pack has beside the embedder; used for faces without landmarks, and where `attributes` are
            asked for.
        attributes: guess age and gender of every crop that is embedded, and with `every_face` the landmarks and pose
            too.

    Returns:
        Tracklets that share no memory with `faces`.

    Raises:
        ConfigurationError: faces without landmarks, and no network that finds them; or a network that is not what the
            manifest says.
    """
    landmarks = heads.complete_landmarks(faces, batch_size=batch_size, check=check)
    faces = replace(faces, landmarks=landmarks)
    detections = faces.detections
    tracklet = np.arange(len(detections), dtype=np.int32) if every_face else faces.tracklet
    per_tracklet = 1 if every_face else crops_per_tracklet
    time_ms = faces.media_time_ms[faces.frame]

    measured = select_faces(tracklet, rate_geometry(detections), time_ms, per_tracklet=MEASURED_SHARE * per_tracklet)
    crops = align_crops(faces.patches, detections, measured)
    check()
    quality = Quality.measure(detections, measured, crops)
    best = select_faces(tracklet[measured], quality.total, time_ms[measured], per_tracklet=per_tracklet)
    embeddings = embedder.embed(crops[best], batch_size=batch_size, check=check)
    crop_face, crop_quality, crops = measured[best], quality.total[best], crops[best]
    if not every_face:
        bound = SPLIT_SHARE * embedder.spec.min_similarity_at()
        tracklet = split_tracklets(tracklet, time_ms, crop_face, embeddings, min_similarity=bound)

    order = np.lexsort((-crop_quality, tracklet[crop_face]))
    crop_face, crop_quality, embeddings, crops = crop_face[order], crop_quality[order], embeddings[order], crops[order]
    crop_tracklet = tracklet[crop_face]
    count = int(tracklet.max(initial=-1)) + 1
    best_face = crop_face[np.searchsorted(crop_tracklet, np.arange(count))].astype(np.int32)
    guesses = Guesses.nothing(len(crop_face))
    if attributes:
        guesses = heads.guess(faces, crop_face, dense=every_face, batch_size=batch_size, check=check)
    crop_jpegs, crop_ends = join_bytes([encode_crop(crop) for crop in crops])
    thumb_jpegs, thumb_ends = join_bytes(_thumbnails(faces, best_face))
    return Tracklets(
        frame_index=faces.frame_index.copy(),
        media_time_ms=faces.media_time_ms.copy(),
        frame_size=faces.frame_size.copy(),
        frame=faces.frame.copy(),
        boxes=faces.boxes.copy(),
        landmarks=faces.landmarks.copy(),
        det_scores=faces.det_scores.copy(),
        tracklet=tracklet,
        quality=_spread(quality.total, measured, len(detections)),
        sharpness=_spread(quality.sharpness, measured, len(detections)),
        frontality=rate_pose(detections.landmarks),
        embeddings=fuse(embeddings, crop_quality, crop_tracklet, groups=count),
        best_face=best_face,
        input_size=faces.input_size.copy(),
        crop_tracklet=crop_tracklet,
        crop_face=crop_face.astype(np.int32),
        crop_embeddings=embeddings,
        crop_jpegs=crop_jpegs,
        crop_ends=crop_ends,
        crop_age=guesses.age,
        crop_female_score=guesses.female_score,
        crop_landmarks_106=guesses.landmarks_106,
        crop_landmarks_68=guesses.landmarks_68,
        crop_pose=guesses.pose,
        thumb_jpegs=thumb_jpegs,
        thumb_ends=thumb_ends,
    )


def _spread(values: Float32s, rows: Int64s, count: int) -> Float32s:
    """(count,) float32 with `values` at `rows` and NaN elsewhere."""
    spread = np.full(count, np.nan, np.float32)
    spread[rows] = values
    return spread


def _thumbnails(faces: Faces, best_face: Int32s) -> list[bytes]:
    return [encode_thumbnail(_inside_picture(faces, int(face))) for face in best_face]


def _inside_picture(faces: Faces, face: int) -> Uint8s:
    """The part of a face's patch that is not black because it lies beyond the frame's edge."""
    patch = faces.patches.image(face)
    origin, scale = faces.patch_origin[face], faces.patch_scale[face]
    first = np.ceil(np.maximum(-origin, 0) * scale).astype(int)
    last = np.floor(np.minimum((faces.frame_size - origin) * scale, len(patch))).astype(int)
    inside = patch[first[1] : last[1], first[0] : last[0]]
    return inside if inside.size else patch
