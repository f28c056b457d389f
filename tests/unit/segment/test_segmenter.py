"""Whole pictures through networks whose right answer is known."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from common.contracts import Objects
from common.errors import CancelledError, ConfigurationError
from common.inference.ort import load_session
from common.packs import SegmentationModel, find_pack
from common.types import Uint8s
from tests.picture_packs import Layout, write_pack
from workers.segment.masks import colour_of, encode_labels
from workers.segment.segmenter import Segmenter

LAYOUTS: tuple[Layout, ...] = ("yolo8", "yolo7", "yolact")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def load(folder: Path, layout: Layout) -> Segmenter:
    write_pack(folder / layout, layout=layout)
    pack = find_pack(layout, [folder])
    spec = pack.manifest.segmenter
    assert spec is not None
    return Segmenter(load_session(pack.path(spec)), spec)


def picture(width: int, height: int, **boxes: tuple[int, int, int, int]) -> Uint8s:
    """Colour to the box [x1, y1, x2, y2] that it fills; the rest is grey."""
    image = Image.new("RGB", (width, height), (128, 128, 128))
    for name, (left, top, right, bottom) in boxes.items():
        ImageDraw.Draw(image).rectangle(
            (left, top, right - 1, bottom - 1), {"red": RED, "green": GREEN, "blue": BLUE}[name]
        )
    return np.array(image)


def find(segmenter: Segmenter, pixels: Uint8s, *, limit: int = 15, min_score: float = 0.15, iou: float | None = None):  # type: ignore[no-untyped-def]
    return segmenter.find(pixels, Objects(limit, min_score, iou), check=lambda: None)


@pytest.fixture(params=LAYOUTS)
def segmenter(request: pytest.FixtureRequest, tmp_path: Path) -> Segmenter:
    return load(tmp_path, request.param)


def test_shapes_are_found_where_they_are_best_first(segmenter: Segmenter) -> None:
    boxes = {"blue": (16, 32, 64, 80), "red": (160, 32, 240, 96), "green": (64, 96, 112, 144)}
    found = find(segmenter, picture(256, 160, **boxes))
    assert [found.names[index] for index in found.classes] == ["car", "dog", "person"]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.7], abs=1e-5)
    for box, name in zip(found.boxes, ("red", "green", "blue"), strict=True):
        assert np.abs(box - boxes[name]).max() <= 4  # one pixel of the input
    for box, index in zip(found.boxes.tolist(), found.classes.tolist(), strict=True):
        left, top, right, bottom = box
        inside = found.labels[top:bottom, left:right]
        assert (inside[8:-8, 8:-8] == index + 1).all()
        assert set(np.unique(inside).tolist()) <= {0, index + 1}
    painted = (found.labels > 0).sum() / sum((b - t) * (r - left) for left, t, r, b in boxes.values())
    assert 0.85 < painted < 1.15


def test_the_mask_follows_the_outline_and_not_the_box(segmenter: Segmenter) -> None:
    image = Image.new("RGB", (192, 192))
    ImageDraw.Draw(image).polygon([(0, 0), (191, 0), (0, 191)], RED)
    labels = find(segmenter, np.array(image)).labels
    rows, columns = np.mgrid[:192, :192]
    edge = np.abs(rows + columns - 191) < 18
    assert (labels[~edge & (rows + columns < 191)] == 3).all()
    assert (labels[~edge & (rows + columns > 191)] == 0).all()


def test_weak_surplus_and_doubled_objects_are_left_out(segmenter: Segmenter) -> None:
    pixels = picture(64, 64, red=(0, 0, 16, 16), green=(24, 0, 40, 16), blue=(48, 0, 64, 16))
    assert find(segmenter, pixels, limit=2).classes.tolist() == [2, 16]
    assert find(segmenter, pixels, min_score=0.75).classes.tolist() == [2, 16]
    assert find(segmenter, pixels, iou=1.0).classes.tolist() == [2, 16, 0, 2, 16, 0]
    assert find(segmenter, pixels).scores.min() > 0.6


def test_a_score_must_exceed_the_bound(tmp_path: Path) -> None:
    segmenter = load(tmp_path, "yolo8")
    pixels = picture(64, 64, red=(0, 0, 16, 16))
    score = float(find(segmenter, pixels).scores[0])
    assert find(segmenter, pixels, min_score=score).classes.tolist() == []
    assert find(segmenter, pixels, min_score=np.nextafter(score, 0)).classes.tolist() == [2]


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (64, 64)])
def test_nothing_there_is_nothing_found(segmenter: Segmenter, size: tuple[int, int]) -> None:
    found = find(segmenter, picture(*size))
    assert found.boxes.shape == (0, 4)
    assert found.labels.shape == (size[1], size[0])
    assert not found.labels.any()


def test_a_whole_picture_is_an_object_within_its_edges(segmenter: Segmenter) -> None:
    found = find(segmenter, picture(128, 64, red=(0, 0, 128, 64)))
    assert found.boxes.tolist() == [[0, 0, 128, 64]]
    assert (found.labels == 3).all()


def test_work_stops_where_nobody_waits(segmenter: Segmenter) -> None:
    def gone() -> None:
        raise CancelledError("nobody waits")

    with pytest.raises(CancelledError):
        segmenter.find(picture(8, 8), Objects(1, 0.1), check=gone)


def test_a_network_of_another_contract_is_refused(tmp_path: Path) -> None:
    write_pack(tmp_path / "yolo8", layout="yolo8")
    pack = find_pack("yolo8", [tmp_path])
    assert pack.manifest.segmenter is not None
    session = load_session(pack.path(pack.manifest.segmenter))
    for change, match in (
        ({"contract": "yolact"}, "no output conf, loc, mask"),
        ({"classes": ("one", "two")}, "2 classes and 3 prototypes make 9"),
    ):
        spec = SegmentationModel.model_validate(pack.manifest.segmenter.model_dump() | change)
        with pytest.raises(ConfigurationError, match=match):
            Segmenter(session, spec)


def test_colours_are_those_of_the_formula_and_survive_the_file() -> None:
    assert [colour_of(index) for index in (0, 2, 16, 79, 124)] == [
        (50, 50, 50),
        (50, 50, 150),
        (50, 200, 100),
        (200, 50, 250),
        (250, 250, 250),
    ]
    with pytest.raises(ValueError, match="no colour"):
        colour_of(125)
    labels = np.repeat(np.arange(126, dtype=np.uint8), 8)[None].repeat(16, axis=0)
    with Image.open(io.BytesIO(encode_labels(labels))) as file:
        assert file.format == "JPEG"
        assert file.size == (labels.shape[1], 16)
        assert file.layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]  # no plane is smaller than another
        pixels = np.asarray(file).astype(float)
    decoded = np.rint(pixels / 50).astype(int) - 1
    indices = decoded @ [25, 5, 1]
    indices[pixels.sum(axis=2) <= 100] = -1
    assert (indices[:, 3::8] == labels[:, 3::8].astype(int) - 1).all()
