"""A picture in which no face is found counts as one, where a call says so."""

import numpy as np
import pytest

from common.contracts import CallRef, Message, Options
from common.types import Detections, Faces, Frames, Patches
from workers.detect.whole_picture import LANDMARKS, or_whole_picture
from workers.embed.align import TEMPLATE, align_crops
from workers.embed.quality import rate_pose


def one_frame(height: int, width: int) -> Frames:
    """A picture whose red grows to the right and whose green grows downwards."""
    pixels = np.zeros((1, height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(20, 220, width, dtype=np.uint8)
    pixels[..., 1] = np.linspace(20, 220, height, dtype=np.uint8)[:, None]
    return Frames(pixels, np.zeros(1, np.int64), np.zeros(1, np.int64))


def faces(frames: Frames, count: int) -> Faces:
    patches = Patches.join(
        [np.zeros((2, 2, 3), np.uint8)] * count, np.zeros((count, 2), np.float32), np.ones(count, np.float32)
    )
    height, width = frames.pixels.shape[1:3]
    return Faces(
        frame_index=frames.frame_index,
        media_time_ms=frames.media_time_ms,
        frame_size=np.array([width, height], np.int32),
        frame=np.zeros(count, np.int32),
        boxes=np.ones((count, 4), np.float32),
        landmarks=np.ones((count, 5, 2), np.float32),
        det_scores=np.ones(count, np.float32),
        tracklet=np.arange(count, dtype=np.int32),
        patch_data=patches.data,
        patch_side=patches.side,
        patch_origin=patches.origin,
        patch_scale=patches.scale,
    )


def test_faces_that_were_found_stay_alone() -> None:
    frames = one_frame(96, 96)
    found = faces(frames, 2)
    assert or_whole_picture(found, frames) is found


def test_a_picture_that_is_not_square_was_not_cut_out() -> None:
    frames = one_frame(96, 128)
    found = faces(frames, 0)
    assert or_whole_picture(found, frames) is found


@pytest.mark.parametrize("side", [1, 96, 250, 600])
def test_a_square_picture_becomes_one_face_from_edge_to_edge(side: int) -> None:
    frames = one_frame(side, side)
    whole = or_whole_picture(faces(frames, 0), frames)
    assert whole.boxes.tolist() == [[0, 0, side, side]]
    assert whole.det_scores.tolist() == [0]
    assert (whole.landmarks[0] / side == LANDMARKS.astype(np.float32)).all() or side > 1
    assert not np.shares_memory(whole.patch_data, frames.pixels)
    assert whole.patch_side[0] <= 256


@pytest.mark.parametrize("side", [96, 600])
def test_its_crop_is_that_of_its_eyes(side: int) -> None:
    frames = one_frame(side, side)
    whole = or_whole_picture(faces(frames, 0), frames)
    detections: Detections = whole.detections
    (crop,) = align_crops(whole.patches, detections, np.zeros(1, np.int64))
    eyes = TEMPLATE[:2].round().astype(int)
    for (x, y), share in zip(eyes, LANDMARKS[:2], strict=True):
        red, green = crop[y, x, :2].astype(float)
        assert red == pytest.approx(20 + 200 * share[0], abs=3)
        assert green == pytest.approx(20 + 200 * share[1], abs=3)


def test_its_landmarks_are_those_of_a_face_seen_from_the_front() -> None:
    assert rate_pose(LANDMARKS[None].astype(np.float32))[0] > 0.9
    across = LANDMARKS[1, 0] - LANDMARKS[0, 0]
    template = (TEMPLATE - TEMPLATE[:2].mean(axis=0)) / np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) * across
    assert np.abs(template + LANDMARKS[:2].mean(axis=0) - LANDMARKS).max() < 0.003


def test_a_message_carries_the_wish_and_older_ones_have_none() -> None:
    message = Message(CallRef("c", "match", 1), Options(), "calls/1", whole_picture=True)
    wire = message.to_wire()
    assert Message.from_wire(wire) == message
    del wire["whole_picture"]
    assert not Message.from_wire(wire).whole_picture
