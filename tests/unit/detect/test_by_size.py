"""Which input a detector gets for which frames."""

from typing import Any

import numpy as np
import pytest

from common.packs import DetectionModel, ImageInput
from workers.detect.by_size import DetectorBySize, input_sizes
from workers.detect.letterbox import InputSize, Letterbox

SPEC = DetectionModel(
    name="det.onnx",
    sha256="0" * 64,
    bytes=1,
    origin="made up",
    input=ImageInput(side_px=640, mean=0, std=1),
    task="detection",
    contract="scrfd",
    min_det_score=0.5,
    nms_iou=0.4,
)


class Network:
    """Declares its input and nothing else."""

    def __init__(self, height: int | None, width: int | None) -> None:
        self.inputs = (("x", ("n", 3, height, width)),)
        self.outputs = tuple((f"y{i}", ("n", None, (1, 4, 10)[i // 3])) for i in range(9))

    def run(self, feeds: Any) -> Any:
        raise AssertionError(feeds)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (1920, 1080, (640, 384)),
        (1280, 720, (640, 384)),
        (1080, 1920, (384, 640)),
        (640, 480, (640, 480)),
        (1200, 1600, (480, 640)),
        (1500, 1000, (640, 480)),
        (3000, 400, (640, 384)),
        (1000, 1000, (640, 640)),
        (1000, 900, (640, 640)),
        (250, 250, (320, 320)),
        (320, 180, (320, 320)),
        (321, 180, (640, 384)),
    ],
)
def test_the_smallest_input_in_which_nothing_is_lost(width: int, height: int, size: tuple[int, int]) -> None:
    detectors = DetectorBySize.of(Network(None, None), SPEC, side_px=640)
    assert detectors.choose(width, height).size == InputSize(*size)


def test_a_network_of_fixed_size_takes_everything() -> None:
    detectors = DetectorBySize.of(Network(640, 640), SPEC, side_px=640)
    for width, height in [(1920, 1080), (250, 250), (10, 4000)]:
        assert detectors.choose(width, height).size == InputSize.square(640)


@pytest.mark.parametrize("side_px", [64, 96, 320, 640, 1280])
def test_every_size_is_one_that_detectors_take(side_px: int) -> None:
    sizes = input_sizes(side_px)
    assert sizes[0] == InputSize.square(side_px)
    assert len(set(sizes)) == len(sizes)
    assert not any(size.width_px % 32 or size.height_px % 32 for size in sizes)


def test_points_of_a_lying_input_come_back() -> None:
    letterbox = Letterbox.fit(1920, 1080, InputSize(640, 384))
    assert (letterbox.width_px, letterbox.height_px) == (640, 360)
    corner = letterbox.to_frame(np.array([[640, 360]], np.float32))
    assert corner.tolist() == [[1920, 1080]]
