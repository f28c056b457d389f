"""Every family of networks: decoded as the library it comes from does, and the same alone as in a run with others."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from insightface.model_zoo.scrfd import SCRFD

from common.inference.detectors import gives_landmarks
from common.inference.engine import Engine
from common.inference.ort import load_session
from common.packs import DetectionModel, EmbeddingModel, ImageInput, find_pack
from common.ports import ModelSession
from common.settings import EmbedSettings
from common.types import Detections, Float32s, Uint8s
from tests.integration.head_networks import write_head
from tests.integration.made_networks import write_embedder, write_scrfd, write_yunet
from tests.integration.models_fixtures import MODELS, no_check, read_photograph
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.pictures import RgbPictures
from workers.embed.embedder import Embedder

MINI = find_pack("mini", [MODELS])

#: Faces in the made-up answers; every place of the picture that scores better than the next one.
FACES = 100

CONTRACTS = ("landmark_2d_106", "landmark_3d_68", "genderage")

MADE: Mapping[str, tuple[int, Callable[[Path], Path]]] = {
    **{f"scrfd_{count}": (256, lambda path, count=count: write_scrfd(path, count)) for count in (6, 9, 10, 15)},
    "yunet": (256, write_yunet),
    "arcface": (112, lambda path: write_embedder(path, 512)),
    "sface": (112, lambda path: write_embedder(path, 128)),
    **{
        contract: (96 if contract == "genderage" else 192, lambda path, contract=contract: write_head(path, contract))
        for contract in CONTRACTS
    },
}

REAL: Mapping[str, int] = {
    "mini/det_mini.onnx": 256,
    "mini/rec_mini.onnx": 112,
    "reference/det_yunet.onnx": 256,
    "reference/det_yunet_scrfd.onnx": 256,
    "reference/rec_mobilefacenet.onnx": 112,
    "reference/attr_agegender_if96.onnx": 96,
}


@pytest.fixture(scope="module")
def photograph() -> Uint8s:
    return np.ascontiguousarray(read_photograph()[:640, :640])


def detection(path: Path, *, contract: str, min_det_score: float, **image: Any) -> DetectionModel:
    """A manifest entry with which no face suppresses another."""
    return MINI.detector.model_copy(
        update={
            "name": path.name,
            "contract": contract,
            "min_det_score": min_det_score,
            "nms_iou": 1.0,
            "input": MINI.detector.input.model_copy(update=image),
        }
    )


def best_only(scores: npt.NDArray[Any]) -> float:
    """A bound between the last score that is kept and the next one."""
    falling = np.sort(scores)[::-1]
    assert falling[FACES - 1] > falling[FACES]
    return float(falling[FACES - 1 : FACES + 1].mean())


def detect(path: Path, spec: DetectionModel, pixels: Uint8s) -> tuple[Detector, Detections]:
    detector = Detector(load_session(path), spec, size=InputSize.square(640))
    return detector, detector.detect(RgbPictures(pixels[None]), batch_size=1, check=no_check)


@pytest.mark.parametrize("has_batch_axis", [True, False])
@pytest.mark.parametrize("count", [6, 9, 10, 15])
def test_every_kind_of_scrfd_is_decoded_as_insightface_does(
    tmp_path: Path, photograph: Uint8s, count: int, has_batch_axis: bool
) -> None:
    path = write_scrfd(tmp_path / "scrfd.onnx", count, has_batch_axis=has_batch_axis)
    theirs = SCRFD(str(path))
    theirs.prepare(-1, det_thresh=0.1, nms_thresh=1.0)
    bound = best_only(theirs.detect(photograph[..., ::-1], input_size=(640, 640))[0][:, 4])
    boxes, landmarks = theirs.detect(photograph[..., ::-1], input_size=(640, 640), det_thresh=bound)
    detector, ours = detect(path, detection(path, contract="scrfd", min_det_score=bound), photograph)
    assert len(ours) == len(boxes) == FACES
    assert np.abs(ours.boxes - boxes[:, :4]).max() < 0.5
    assert np.abs(ours.det_scores - boxes[:, 4]).max() < 1e-5
    assert detector.has_landmarks == (landmarks is not None) == gives_landmarks(load_session(path), "scrfd")
    if landmarks is None:
        assert np.isnan(ours.landmarks).all()
        assert ours.landmarks.shape == (FACES, 5, 2)
    else:
        assert np.abs(ours.landmarks - landmarks).max() < 0.5


def test_a_yunet_is_decoded_as_opencv_does(tmp_path: Path, photograph: Uint8s) -> None:
    path = write_yunet(tmp_path / "yunet.onnx", side_px=640)

    def theirs(min_det_score: float) -> Float32s:
        detector = cv2.FaceDetectorYN.create(str(path), "", (640, 640), min_det_score, 0.999999, 100_000)
        return np.asarray(detector.detect(np.ascontiguousarray(photograph[..., ::-1]))[1], np.float32)

    bound = best_only(theirs(0.1)[:, 14])
    expected = theirs(bound)
    expected = expected[np.argsort(-expected[:, 14], kind="stable")]
    spec = detection(path, contract="yunet", min_det_score=bound, colour="bgr", mean=0.0, std=1.0)
    detector, ours = detect(path, spec, photograph)
    assert detector.has_landmarks
    assert len(ours) == len(expected) == FACES
    assert np.abs(ours.boxes[:, :2] - expected[:, :2]).max() < 0.5
    assert np.abs(ours.boxes[:, 2:] - ours.boxes[:, :2] - expected[:, 2:4]).max() < 0.5
    assert np.abs(ours.landmarks - expected[:, 4:14].reshape(-1, 5, 2)).max() < 0.5
    assert np.abs(ours.det_scores - expected[:, 14]).max() < 1e-5


def test_an_sface_sees_its_crop_as_opencv_shows_it(tmp_path: Path, photograph: Uint8s) -> None:
    """OpenCV gives SFace red, green, blue, 0 to 255, one crop a run."""
    path = write_embedder(tmp_path / "sface.onnx", 128, batch=1)
    image = ImageInput(side_px=112, colour="rgb", mean=0.0, std=1.0)
    spec = EmbeddingModel(
        **{
            **MINI.embedder.model_dump(),
            "name": path.name,
            "contract": "sface",
            "dim": 128,
            "input": image.model_dump(),
        }
    )
    crops = np.stack([photograph[y : y + 112, y : y + 112] for y in (0, 100, 200, 300, 400)])
    theirs = cv2.FaceRecognizerSF.create(str(path), "")
    expected = np.stack([theirs.feature(np.ascontiguousarray(crop[..., ::-1]))[0] for crop in crops])
    ours = Embedder(load_session(path), spec).embed(crops, batch_size=16, check=no_check)
    assert (ours * expected / np.linalg.norm(expected, axis=1, keepdims=True)).sum(axis=1).min() >= 0.9999


class Gate:
    """Holds the first run of a network until it is opened; a `common.ports.ModelSession`."""

    def __init__(self, session: ModelSession) -> None:
        self.session = session
        self.inputs, self.outputs = session.inputs, session.outputs
        self.sizes: list[int] = []
        self.begun, self.opened = threading.Event(), threading.Event()

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        self.sizes.append(len(next(iter(feeds.values()))))
        self.begun.set()
        assert self.opened.wait(60)
        return self.session.run(feeds)


def assert_same_alone_and_together(path: Path, side_px: int) -> None:
    """Five threads: the first one's row runs alone, the rows of the others, who came meanwhile, together."""
    gates: list[Gate] = []

    def gate(session: ModelSession) -> Gate:
        gates.append(Gate(session))
        return gates[-1]

    engine = Engine(EmbedSettings(runs=1, max_wait_ms=0), count=gate)
    lanes = engine.load(path, lambda session: session, row=(3, side_px, side_px), batch_size=8)
    ((name, _),) = lanes.bulk.inputs
    rows = np.random.default_rng(7).uniform(-1, 1, (5, 1, 3, side_px, side_px)).astype(np.float32)
    batcher = lanes.bulk._batcher  # type: ignore[attr-defined]
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(lanes.bulk.run, {name: rows[0]})
        assert gates[0].begun.wait(60)
        others = []
        pause = threading.Event()
        for count, row in enumerate(rows[1:], start=1):
            others.append(pool.submit(lanes.bulk.run, {name: row}))
            while len(batcher._waiting[False]) < count:
                pause.wait(0.001)
        gates[0].opened.set()
        answers = [one.result(60) for one in (first, *others)]
    assert gates[0].sizes == [1, 4]
    plain = load_session(path)
    for row, answer in zip(rows, answers, strict=True):
        for output, alone in zip(answer, plain.run({name: row}), strict=True):
            assert output.shape == alone.shape
            assert np.abs(output - alone).max() <= 1e-5 * max(1, np.abs(alone).max())


@pytest.mark.parametrize("family", MADE)
def test_a_row_gives_the_same_alone_as_in_a_run_with_those_of_other_threads(tmp_path: Path, family: str) -> None:
    side_px, write = MADE[family]
    assert_same_alone_and_together(write(tmp_path / f"{family}.onnx"), side_px)


@pytest.mark.parametrize("name", [name for name in REAL if name.startswith("mini")])
def test_a_row_gives_the_same_alone_as_in_a_run_with_others_of_mini(name: str) -> None:
    assert_same_alone_and_together(MODELS / name, REAL[name])


@pytest.mark.parametrize("name", [name for name in REAL if name.startswith("reference")])
def test_a_row_gives_the_same_alone_as_in_a_run_with_others_of_the_reference(name: str, shared_dir: Path) -> None:
    path = shared_dir / "models" / name
    if not path.is_file():
        pytest.skip(f"the reference weights are absent: no models/{name} in the shared folder")
    assert_same_alone_and_together(path, REAL[name])
