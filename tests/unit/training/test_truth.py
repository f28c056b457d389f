from pathlib import Path

import cv2
import numpy as np
import pytest

from training.truth import Reference


@pytest.fixture(scope="module")
def reference(shared_models: Path) -> Reference:
    return Reference(shared_models, (640,))


@pytest.fixture(scope="module")
def shared_models(shared_dir: Path) -> Path:
    folder = shared_dir / "models" / "reference"
    if not (folder / "det_yunet_scrfd.onnx").is_file():
        pytest.skip("optional data is absent: the weights of the pack 'reference'")
    return folder


@pytest.fixture(scope="module")
def frame(shared_dir: Path) -> np.ndarray:
    """A frame with faces, the top left 640 x 640 pixels of it enlarged until its faces are large."""
    image = cv2.imread(str(shared_dir / "data" / "tae-frame-00180.jpg"), cv2.IMREAD_COLOR_RGB)
    if image is None:
        pytest.skip("optional data is absent: tae-frame-00180.jpg")
    side = min(image.shape[:2])
    return np.ascontiguousarray(cv2.resize(image[:side, :side], (640, 640)))


def test_views_move_landmarks_a_little_and_lose_no_face(reference: Reference, frame: np.ndarray) -> None:
    whole, agreed = reference.look(frame), reference.agree(frame)
    assert len(whole.scores) > 0
    assert len(agreed.scores) >= len(whole.scores)
    first = slice(len(whole.scores))
    assert (agreed.scores[first] == whole.scores).all()
    sides = (whole.boxes[:, 2:] - whole.boxes[:, :2]).max(axis=1)
    moved = np.linalg.norm(agreed.landmarks[first] - whole.landmarks, axis=2).max(axis=1)
    assert moved.max() > 0
    assert (moved < 0.3 * sides).all()


def test_nothing_is_seen_in_nothing(reference: Reference) -> None:
    agreed = reference.agree(np.zeros((640, 640, 3), np.uint8))
    assert (agreed.boxes.shape, agreed.landmarks.shape, agreed.scores.shape) == ((0, 4), (0, 5, 2), (0,))
