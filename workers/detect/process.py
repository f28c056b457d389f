"""What the detect stage does with one stack of frames."""

from collections.abc import Callable

import numpy as np

from common.types import Faces, Frames
from workers.detect.detector import Detector
from workers.detect.patches import cut_patches
from workers.detect.scenes import find_cuts, signatures
from workers.detect.tracklets import link as link_faces


def detect_faces(
    frames: Frames, detector: Detector, *, batch_size: int, link: bool, check: Callable[[], None]
) -> Faces:
    """Find the faces, link them over time, and cut them out.

    Args:
        frames: frames of one segment, or one picture.
        batch_size: frames in one run of the network at most.
        link: whether the frames follow one another in time; otherwise every face is its own tracklet.
        check: called between runs; raises to stop.

    Returns:
        Faces that share no memory with `frames`.
    """
    detections = detector.detect(frames.pixels, batch_size=batch_size, check=check)
    if link:
        tracklet = link_faces(detections, frames.media_time_ms, find_cuts(signatures(frames.pixels)))
    else:
        tracklet = np.arange(len(detections), dtype=np.int32)
    check()
    patches = cut_patches(frames.pixels, detections)
    height, width = frames.pixels.shape[1:3]
    return Faces(
        frame_index=frames.frame_index.copy(),
        media_time_ms=frames.media_time_ms.copy(),
        frame_size=np.array([width, height], np.int32),
        frame=detections.frame,
        boxes=detections.boxes,
        landmarks=detections.landmarks,
        det_scores=detections.det_scores,
        tracklet=tracklet,
        patch_data=patches.data,
        patch_side=patches.side,
        patch_origin=patches.origin,
        patch_scale=patches.scale,
    )
