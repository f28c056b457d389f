"""The picture that shows a tracklet."""

import cv2
import numpy as np
import pytest

from common.types import Faces, Patches
from workers.embed.jpeg import encode_thumbnail
from workers.embed.process import _inside_picture


def a_face(origin: tuple[float, float], *, side: int = 60, scale: float = 1.0) -> Faces:
    """One face in a frame of 100 x 80 pixels; its patch is white inside the frame and black beyond it."""
    patch = np.zeros((side, side, 3), np.uint8)
    y, x = np.mgrid[:side, :side]
    u, v = origin[0] + (x + 0.5) / scale, origin[1] + (y + 0.5) / scale
    patch[(u > 0) & (u < 100) & (v > 0) & (v < 80)] = 255
    patches = Patches.join([patch], np.array([origin], np.float32), np.array([scale], np.float32))
    return Faces(
        frame_index=np.zeros(1, np.int64),
        media_time_ms=np.zeros(1, np.int64),
        frame_size=np.array([100, 80], np.int32),
        frame=np.zeros(1, np.int32),
        boxes=np.zeros((1, 4), np.float32),
        landmarks=np.zeros((1, 5, 2), np.float32),
        det_scores=np.ones(1, np.float32),
        tracklet=np.zeros(1, np.int32),
        patch_data=patches.data,
        patch_side=patches.side,
        patch_origin=patches.origin,
        patch_scale=patches.scale,
    )


@pytest.mark.parametrize(
    ("origin", "scale", "shape"),
    [
        ((10, 10), 1.0, (60, 60, 3)),
        ((-20, 10), 1.0, (60, 40, 3)),
        ((70, 50), 1.0, (30, 30, 3)),
        ((-20, -10), 0.5, (40, 50, 3)),
        ((500, 500), 1.0, (60, 60, 3)),
    ],
    ids=["inside", "left edge", "corner", "reduced and larger than the frame", "wholly outside"],
)
def test_a_thumbnail_shows_no_black_beyond_the_frame(
    origin: tuple[float, float], scale: float, shape: tuple[int, int, int]
) -> None:
    inside = _inside_picture(a_face(origin, scale=scale), 0)
    assert inside.shape == shape
    if shape != (60, 60, 3) or origin == (10, 10):
        assert inside.min() == 255


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(10, 10, (10, 10)), (320, 160, (160, 80)), (1, 900, (1, 160))]
)
def test_a_thumbnail_keeps_its_proportions_and_is_never_enlarged(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    data = encode_thumbnail(np.zeros((height, width, 3), np.uint8))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] == expected
