"""What the detect stage does with one stack of frames."""

from collections.abc import Callable

import numpy as np

from common.types import Detections, Faces, Frames, Int32s
from workers.detect.by_size import DetectorBySize
from workers.detect.detector import Detector
from workers.detect.patches import cut_patches
from workers.detect.pictures import open_pictures
from workers.detect.scenes import find_cuts, signatures
from workers.detect.tracklets import link as link_faces


def detect_faces(
    frames: Frames,
    detector: Detector | DetectorBySize,
    *,
    batch_size: int,
    link: bool,
    check: Callable[[], None],
    sure_det_score: float = 0.0,
) -> Faces:
    """Find the faces, link them over time, and cut them out.

    Args:
        frames: frames of one segment, or one picture.
        batch_size: frames in one run of the network at most.
        link: whether the frames follow one another in time; otherwise every face is its own tracklet.
        check: called between runs; raises to stop.
        sure_det_score: a linked tracklet whose best face scores less is no person and is left out.

    Returns:
        Faces that share no memory with `frames`.
    """
    pictures = open_pictures(frames)
    detections = detector.detect(pictures, batch_size=batch_size, check=check)
    if link:
        linked = link_faces(detections, frames.media_time_ms, find_cuts(signatures(pictures)))
        detections, tracklet = keep_sure(detections, linked, sure_det_score)
    else:
        tracklet = np.arange(len(detections), dtype=np.int32)
    check()
    patches = cut_patches(pictures, detections)
    size = detector.choose(pictures.width_px, pictures.height_px).size
    return Faces(
        frame_index=frames.frame_index.copy(),
        media_time_ms=frames.media_time_ms.copy(),
        frame_size=np.array([pictures.width_px, pictures.height_px], np.int32),
        frame=detections.frame,
        boxes=detections.boxes,
        landmarks=detections.landmarks,
        det_scores=detections.det_scores,
        tracklet=tracklet,
        patch_data=patches.data,
        patch_side=patches.side,
        patch_origin=patches.origin,
        patch_scale=patches.scale,
        input_size=np.array([size.width_px, size.height_px], np.int32),
    )


def keep_sure(detections: Detections, tracklet: Int32s, sure_det_score: float) -> tuple[Detections, Int32s]:
    """The faces of the tracklets that have at least one face of that score, and their tracklets, numbered anew."""
    best = np.zeros(int(tracklet.max(initial=-1)) + 1, np.float32)
    np.maximum.at(best, tracklet, detections.det_scores)
    rows = np.flatnonzero(best[tracklet] >= np.float32(sure_det_score))
    _, numbered = np.unique(tracklet[rows], return_inverse=True)
    kept = Detections(
        detections.frame[rows], detections.boxes[rows], detections.landmarks[rows], detections.det_scores[rows]
    )
    return kept, numbered.astype(np.int32)
