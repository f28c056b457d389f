"""The detect stage with real networks, held against InsightFace where it has an answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from insightface.model_zoo import model_zoo

from common.errors import CancelledError, ConfigurationError
from common.inference.ort import load_session
from common.packs import Pack, find_pack
from common.types import Detections, Frames, Uint8s
from tests.integration.models_fixtures import (
    MODELS,
    PEOPLE,
    find_reference,
    fix_axis,
    load_detector,
    load_embedder,
    no_check,
    read_photograph,
    rebuild,
)
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.pictures import RgbPictures
from workers.detect.process import detect_faces
from workers.embed.process import embed_faces

MINI = find_pack("mini", [MODELS])


@pytest.fixture(scope="module")
def photograph() -> Uint8s:
    return read_photograph()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(MINI)


def some_frames(photograph: Uint8s) -> Uint8s:
    """Five different frames of one size, two of them without any face."""
    height, width = photograph.shape[:2]
    mirrored = photograph[:, ::-1]
    shifted = np.roll(photograph, 101, axis=1)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return np.stack([photograph, np.full_like(photograph, 128), mirrored, noise, shifted])


def assert_same(first: Detections, second: Detections) -> None:
    assert first.frame.tolist() == second.frame.tolist()
    assert np.allclose(first.boxes, second.boxes, atol=1e-2)
    assert np.allclose(first.landmarks, second.landmarks, atol=1e-2)
    assert np.allclose(first.det_scores, second.det_scores, atol=1e-4)


def frame(detections: Detections, number: int) -> Detections:
    rows = detections.frame == number
    return Detections(
        detections.frame[rows] * 0, detections.boxes[rows], detections.landmarks[rows], detections.det_scores[rows]
    )


def assert_parity(pack: Pack, photograph: Uint8s) -> None:
    spec = pack.detector
    theirs = model_zoo.get_model(str(pack.path(spec)), providers=["CPUExecutionProvider"])
    theirs.prepare(-1, det_thresh=spec.min_det_score, nms_thresh=spec.nms_iou)
    boxes, landmarks = theirs.detect(photograph[..., ::-1], input_size=(640, 640))
    ours = load_detector(pack).detect(RgbPictures(photograph[None]), batch_size=4, check=no_check)
    assert len(ours) == len(boxes) == PEOPLE
    assert np.abs(ours.boxes - boxes[:, :4]).max() < 0.5
    assert np.abs(ours.landmarks - landmarks).max() < 0.5
    assert np.abs(ours.det_scores - boxes[:, 4]).max() < 1e-3


def test_no_frames_have_no_faces(detector: Detector) -> None:
    found = detector.detect(RgbPictures(np.zeros((0, 40, 60, 3), np.uint8)), batch_size=4, check=no_check)
    assert len(found) == 0
    assert found.boxes.dtype == found.landmarks.dtype == np.float32


def test_the_mini_detector_finds_what_insightface_finds_with_it(photograph: Uint8s) -> None:
    assert_parity(MINI, photograph)


def test_yunet_finds_what_insightface_finds_with_it(photograph: Uint8s, shared_dir: Path) -> None:
    assert_parity(find_reference(shared_dir), photograph)


def test_yunet_finds_the_same_under_both_contracts(photograph: Uint8s, shared_dir: Path) -> None:
    pack = find_reference(shared_dir)
    frames = some_frames(photograph)
    as_scrfd, as_yunet = (
        load_detector(pack, file=file).detect(RgbPictures(frames), batch_size=2, check=no_check) for file in (0, 1)
    )
    assert pack.manifest.detectors[1].contract == "yunet"
    assert_same(as_scrfd, as_yunet)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_frame_has_the_same_faces_alone_and_in_a_batch(
    detector: Detector, photograph: Uint8s, batch_size: int
) -> None:
    frames = some_frames(photograph)
    together = detector.detect(RgbPictures(frames), batch_size=batch_size, check=no_check)
    assert (np.diff(together.frame) >= 0).all()
    assert set(together.frame.tolist()) == {0, 2, 4}
    for number, pixels in enumerate(frames):
        alone = detector.detect(RgbPictures(pixels[None]), batch_size=1, check=no_check)
        assert (np.diff(alone.det_scores) <= 0).all()
        assert_same(frame(together, number), alone)


def test_a_graph_that_takes_one_frame_gets_one_by_one(tmp_path: Path, photograph: Uint8s, detector: Detector) -> None:
    """InsightFace's own exports have outputs without a batch axis."""

    def unbatch(model: onnx.ModelProto) -> None:
        fix_axis(model.graph.input[0], 0, 1)
        for output in list(model.graph.output):
            width = output.type.tensor_type.shape.dim[2].dim_value
            shape = onnx.numpy_helper.from_array(np.array([-1, width], np.int64), f"{output.name}_shape")
            model.graph.initializer.append(shape)
            model.graph.node.append(
                onnx.helper.make_node("Reshape", [output.name, shape.name], [f"{output.name}_flat"])
            )
        flat = [
            onnx.helper.make_tensor_value_info(
                f"{output.name}_flat",
                onnx.TensorProto.FLOAT,
                ["places", output.type.tensor_type.shape.dim[2].dim_value],
            )
            for output in model.graph.output
        ]
        del model.graph.output[:]
        model.graph.output.extend(flat)

    path = rebuild(MINI.path(MINI.detector), tmp_path / "unbatched.onnx", unbatch)
    single = Detector(load_session(path), MINI.detector)
    frames = some_frames(photograph)
    assert_same(
        single.detect(RgbPictures(frames), batch_size=4, check=no_check),
        detector.detect(RgbPictures(frames), batch_size=4, check=no_check),
    )


def test_a_graph_of_another_size_or_kind_is_refused(tmp_path: Path) -> None:
    def fix_sides(model: onnx.ModelProto) -> None:
        fix_axis(model.graph.input[0], 2, 320)
        fix_axis(model.graph.input[0], 3, 320)

    def drop_half(model: onnx.ModelProto) -> None:
        del model.graph.output[4:]

    def turn_round(model: onnx.ModelProto) -> None:
        outputs = list(model.graph.output)
        del model.graph.output[:]
        model.graph.output.extend(reversed(outputs))

    source = MINI.path(MINI.detector)
    sized = load_session(rebuild(source, tmp_path / "sized.onnx", fix_sides))
    with pytest.raises(ConfigurationError, match=r"320 x 320 only.*INPUT_SIDE_PX"):
        Detector(sized, MINI.detector)
    Detector(sized, MINI.detector, size=InputSize.square(320))
    half = load_session(rebuild(source, tmp_path / "half.onnx", drop_half))
    with pytest.raises(ConfigurationError, match="4 outputs, not 6, 9, 10 or 15"):
        Detector(half, MINI.detector)
    turned = load_session(rebuild(source, tmp_path / "turned.onnx", turn_round))
    with pytest.raises(ConfigurationError, match=r"scrfd gives 1 numbers .* the file is no such detector"):
        Detector(turned, MINI.detector)
    session = load_session(source)
    with pytest.raises(ConfigurationError, match="not a multiple of 32"):
        Detector(session, MINI.detector, size=InputSize.square(650))
    with pytest.raises(ConfigurationError, match="not a YuNet"):
        Detector(session, MINI.detector.model_copy(update={"contract": "yunet"}))
    with pytest.raises(ConfigurationError, match="is not an SCRFD"):
        Detector(load_session(MINI.path(MINI.embedder)), MINI.detector, size=InputSize.square(112))


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (33, 47)])
@pytest.mark.parametrize("level", [0, 127, 255])
def test_flat_pictures_of_any_size_hold_no_faces(detector: Detector, size: tuple[int, int], level: int) -> None:
    frames = np.full((2, *size, 3), level, np.uint8)
    assert len(detector.detect(RgbPictures(frames), batch_size=2, check=no_check)) == 0


def test_a_stopped_check_stops_between_runs(detector: Detector) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        frames = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((32, 32, 3), np.uint8)
        detector.detect(RgbPictures(frames), batch_size=2, check=check)
    assert calls == 3


def panned(photograph: Uint8s, *, step_px: int, frames: int) -> Frames:
    """A camera that pans over the photograph, 5 frames a second."""
    width = photograph.shape[1] - step_px * frames
    pixels = np.stack([photograph[:, step_px * i : step_px * i + width] for i in range(frames)])
    numbers = np.arange(frames, dtype=np.int64)
    return Frames(pixels, numbers * 6, numbers * 200)


def test_a_pan_over_people_gives_a_tracklet_each(detector: Detector, photograph: Uint8s) -> None:
    wide = np.pad(photograph, ((0, 0), (60, 180), (0, 0)))
    frames = panned(wide, step_px=30, frames=6)
    frozen = frames.pixels
    frozen.flags.writeable = False
    sure = MINI.detector.tracklet_det_score
    faces = detect_faces(frames, detector, batch_size=4, link=True, check=no_check, sure_det_score=sure)
    assert np.bincount(faces.tracklet).tolist() == [6] * PEOPLE
    assert np.bincount(faces.frame).tolist() == [PEOPLE] * 6
    assert len(faces.patches) == len(faces.detections)
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    for tracklet in range(PEOPLE):
        steps = np.diff(centres[faces.tracklet == tracklet], axis=0)
        assert np.abs(steps - [-30, 0]).max() < 20
    assert not np.shares_memory(faces.frame_index, frames.frame_index)
    separate = detect_faces(frames, detector, batch_size=4, link=False, check=no_check)
    assert separate.tracklet.tolist() == list(range(len(separate.detections)))
    assert len(separate.detections) >= PEOPLE * 6


def test_a_cut_ends_every_tracklet(detector: Detector, photograph: Uint8s) -> None:
    other = np.roll(255 - photograph, 300, axis=0)
    pixels = np.stack([photograph, photograph, other, photograph])
    frames = Frames(pixels, np.arange(4, dtype=np.int64), np.arange(4, dtype=np.int64) * 100)
    faces = detect_faces(frames, detector, batch_size=4, link=True, check=no_check)
    assert set(faces.tracklet[faces.frame <= 1].tolist()) == set(range(PEOPLE))
    assert set(faces.tracklet[faces.frame <= 1].tolist()).isdisjoint(faces.tracklet[faces.frame == 3].tolist())


def test_a_face_cut_by_the_border_has_a_patch_black_beyond_it(detector: Detector, photograph: Uint8s) -> None:
    whole = detector.detect(RgbPictures(photograph[None]), batch_size=1, check=no_check)
    x1, _, x2, _ = whole.boxes[np.argmin(whole.boxes[:, 0])]
    cut = int(x1 + 0.3 * (x2 - x1))
    pixels = photograph[None, :, cut:]
    frames = Frames(pixels, np.zeros(1, np.int64), np.zeros(1, np.int64))
    faces = detect_faces(frames, detector, batch_size=1, link=False, check=no_check)
    at_border = int(np.argmin(faces.boxes[:, 0]))
    assert faces.boxes[at_border, 0] < 25
    patch = faces.patches.image(at_border)
    beyond = int(-faces.patches.origin[at_border, 0])
    assert beyond > 10
    assert (patch[:, :beyond] == 0).all()
    assert patch[:, beyond:].any()
    tracklets = embed_faces(
        faces, load_embedder(MINI), crops_per_tracklet=3, batch_size=8, every_face=True, check=no_check
    )
    assert np.isfinite(tracklets.embeddings).all()
