"""What the detector keeps of a network's answer, on answers written by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from common.errors import ConfigurationError
from common.packs import DetectionModel, ImageInput
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.pictures import PlanarPictures, RgbPictures
from workers.detect.scrfd import expected_shapes

SIDE = 64
PLACE = 5  # of the finest stride: x = 40, y = 0

SPEC = DetectionModel(
    name="det.onnx",
    sha256="0" * 64,
    bytes=1,
    origin="made up",
    input=ImageInput(side_px=SIDE, mean=0, std=1),
    task="detection",
    contract="scrfd",
    min_det_score=0.5,
    nms_iou=0.4,
)


class Written:
    """Gives the same answer for every frame."""

    def __init__(self, outputs: Sequence[npt.NDArray[np.float32]]) -> None:
        self.inputs = (("x", ("n", 3, None, None)),)
        self.outputs = tuple((f"y{i}", ("n", *output.shape)) for i, output in enumerate(outputs))
        self._answer = outputs

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        frames = len(feeds["x"])
        return [np.repeat(output[None], frames, axis=0) for output in self._answer]


def answer(count: int) -> list[npt.NDArray[np.float32]]:
    """One face of 16 x 16 px."""
    outputs = [np.zeros(shape, np.float32) for shape in expected_shapes(count, InputSize.square(SIDE))]
    outputs[0][PLACE] = 0.9
    outputs[3][PLACE] = 1
    return outputs


def detect(outputs: Sequence[npt.NDArray[np.float32]]) -> tuple[Detector, Any]:
    detector = Detector(Written(outputs), SPEC)
    return detector, detector.detect(
        RgbPictures(np.zeros((2, SIDE, SIDE, 3), np.uint8)), batch_size=2, check=lambda: None
    )


@pytest.mark.parametrize(("count", "has_landmarks"), [(6, False), (9, True)])
def test_faces_without_landmarks_are_faces(count: int, has_landmarks: bool) -> None:
    detector, found = detect(answer(count))
    assert found.frame.tolist() == [0, 1]
    assert found.boxes[0].tolist() == [32, -8, 48, 8]
    assert detector.has_landmarks == has_landmarks
    assert np.isfinite(found.landmarks).all() == has_landmarks


@pytest.mark.parametrize("output", [3, 6])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_place_whose_numbers_are_not_finite_is_no_face_and_harms_no_other(output: int, value: float) -> None:
    outputs = answer(9)
    outputs[0][PLACE + 10] = 0.8
    outputs[3][PLACE + 10] = 1
    outputs[output][PLACE] = value
    _, found = detect(outputs)
    assert found.det_scores.tolist() == pytest.approx([0.8, 0.8])


@pytest.mark.parametrize(
    ("count", "output", "shape"), [(9, 0, (64, 2)), (9, 4, (17, 4)), (6, 5, (4, 10)), (9, 8, (20, 10))]
)
def test_outputs_of_another_shape_are_refused(count: int, output: int, shape: tuple[int, int]) -> None:
    outputs = answer(count)
    outputs[output] = np.zeros(shape, np.float32)
    with pytest.raises(ConfigurationError, match=rf"det.onnx: output y{output} is .*the file is no such detector"):
        Detector(Written(outputs), SPEC)


class Counting(Written):
    """One face in each frame that is not black, as high as the frame is bright; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(answer(9))
        self.asked: list[list[float]] = []

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        brightness = feeds["x"].max(axis=(1, 2, 3))
        self.asked.append(brightness.tolist())
        outputs = [output.copy() for output in super().run(feeds)]
        outputs[0][:, PLACE, 0] = np.where(brightness > 0, 0.9, 0)
        outputs[3][:, PLACE, 3] = brightness / 100
        return outputs


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_frames_that_are_the_one_before_are_not_looked_at_again(batch_size: int) -> None:
    levels = [40, 40, 0, 0, 0, 80, 40, 40, 40]
    pixels = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in levels])
    network = Counting()
    found = Detector(network, SPEC).detect(RgbPictures(pixels), batch_size=batch_size, check=lambda: None)
    assert [level for run in network.asked for level in run] == [40, 0, 80, 40]
    one_by_one = [
        Detector(Counting(), SPEC).detect(RgbPictures(frame[None]), batch_size=1, check=lambda: None)
        for frame in pixels
    ]
    assert found.frame.tolist() == [0, 1, 5, 6, 7, 8]
    assert np.array_equal(found.boxes, np.concatenate([one.boxes for one in one_by_one]))
    assert np.array_equal(found.landmarks, np.concatenate([one.landmarks for one in one_by_one]))
    assert np.array_equal(found.det_scores, np.concatenate([one.det_scores for one in one_by_one]))


def test_one_bit_makes_a_frame_another_one() -> None:
    pixels = np.zeros((2, 200, 130, 3), np.uint8)
    pixels[1, 101, 77, 2] = 1
    assert not RgbPictures(pixels).is_same(0, 1)
    planes = PlanarPictures(pixels[:, :, :, 0][:, :198].copy(), np.zeros((2, 3, 4), np.float32))
    assert planes.is_same(0, 1)
    colours = np.zeros((2, 3, 4), np.float32)
    colours[1, 2, 3] = 1
    assert not PlanarPictures(pixels[:, :198, :, 0].copy(), colours).is_same(0, 1)
