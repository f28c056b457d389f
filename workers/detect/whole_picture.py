"""A picture that is the face already: cut out by a client, so close that the detector may not see it as one.

Such crops come from imutils' `FaceAligner`, which turns, scales and shifts a photograph until both eyes lie at fixed
places of a square. Taken for the embedder's own crop, whose eyes lie lower, one pair in four of different people passed
for one person; placed by the eyes, one in 250, as when the detector finds the face in them (60 people of LFW, `mini`).
"""

from typing import Final

import cv2
import numpy as np

from common.types import Faces, Frames, Patches

#: (5, 2) the five landmarks as shares of the picture's side: the eyes where `FaceAligner` puts them unless told
#: otherwise, nose and mouth where ArcFace's template has them below such eyes.
LANDMARKS: Final = np.array([[0.35, 0.35], [0.65, 0.35], [0.5, 0.52145], [0.37579, 0.69639], [0.62423, 0.69639]])

#: Larger pictures are reduced; the face still has more pixels than an aligned crop.
_MAX_SIDE_PX: Final = 256


def or_whole_picture(faces: Faces, frames: Frames) -> Faces:
    """The faces; where there are none and the picture is square, the picture itself as one.

    Args:
        faces: what was found in `frames`.
        frames: one RGB picture.

    Returns:
        `faces`, or one face from edge to edge with a det_score of 0: nothing has detected it.
    """
    height, width = frames.pixels.shape[1:3]
    if len(faces.frame) or height != width:
        return faces
    side = min(width, _MAX_SIDE_PX)
    patch = cv2.resize(frames.pixels[0], (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    scale = side / width
    patches = Patches.join([patch], np.full((1, 2), (1 / scale - 1) / 2, np.float32), np.full(1, scale, np.float32))
    return Faces(
        frame_index=faces.frame_index,
        media_time_ms=faces.media_time_ms,
        frame_size=faces.frame_size,
        frame=np.zeros(1, np.int32),
        boxes=np.array([[0, 0, width, width]], np.float32),
        landmarks=(LANDMARKS * width).astype(np.float32)[None],
        det_scores=np.zeros(1, np.float32),
        tracklet=np.zeros(1, np.int32),
        patch_data=patches.data,
        patch_side=patches.side,
        patch_origin=patches.origin,
        patch_scale=patches.scale,
        input_size=faces.input_size,
    )
