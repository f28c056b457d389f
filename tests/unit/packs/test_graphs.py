"""Graphs against the contracts of their manifest."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from pydantic import TypeAdapter

from common.errors import ConfigurationError
from common.packs import ModelFile
from deploy.models.graphs import check_outline, check_shapes, is_batch_open
from deploy.models.outline import Outline, read_outline
from tests.unit.packs.networks import describe, make_detector, make_embedder, make_network

YUNET = {
    f"{kind}_{stride}": ((32 // stride) ** 2, width)
    for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    for stride in (8, 16, 32)
}


def outline_and_entry(folder: Path, name: str, model: onnx.ModelProto, **changes: Any) -> tuple[Outline, ModelFile]:
    (folder / name).write_bytes(model.SerializeToString())
    file: ModelFile = TypeAdapter(ModelFile).validate_python(describe(folder / name) | changes)
    return read_outline(folder / name), file


@pytest.mark.parametrize(
    ("name", "model", "changes"),
    [
        ("det.onnx", make_detector(), {}),
        ("det.onnx", make_detector(side=None), {}),
        ("det.onnx", make_detector(batch=1), {}),
        (
            "det.onnx",
            make_network({"s8": (32, 1), "s16": (8, 1), "s32": (2, 1), "b8": (32, 4), "b16": (8, 4), "b32": (2, 4)}),
            {},
        ),
        ("det.onnx", make_network(YUNET), {"contract": "yunet"}),
        ("rec.onnx", make_embedder(16), {}),
        ("rec.onnx", make_embedder(16), {"contract": "sface"}),
        ("age.onnx", make_network({"fc1": (3,)}), {}),
        ("p2d.onnx", make_network({"fc1": (212,)}), {}),
        ("p3d.onnx", make_network({"fc1": (3309,)}), {}),
    ],
)
def test_a_graph_that_fits_is_accepted(
    tmp_path: Path, name: str, model: onnx.ModelProto, changes: dict[str, Any]
) -> None:
    check_outline(*outline_and_entry(tmp_path, name, model, **changes))


@pytest.mark.parametrize(
    ("name", "model", "changes", "complaint"),
    [
        ("rec.onnx", make_embedder(8), {}, "last axis must be 16"),
        ("rec.onnx", make_embedder(side=64), {}, "the manifest says \\? x 3 x 32 x 32"),
        ("rec.onnx", make_embedder(batch=4), {}, "exactly 4 pictures a run"),
        ("rec.onnx", make_detector(), {}, "9 outputs; arcface has one"),
        ("det.onnx", make_embedder(), {}, "1 outputs; an SCRFD has 6, 9, 10 or 15"),
        ("det.onnx", make_detector(), {"contract": "yunet"}, "not YuNet's"),
        ("age.onnx", make_network({"fc1": (2,)}), {}, "last axis must be 3"),
        ("p2d.onnx", make_network({"fc1": (136,)}), {}, "last axis must be 212"),
        ("p3d.onnx", make_network({"fc1": (212,)}), {}, "last axis must be 3309"),
    ],
)
def test_a_graph_of_another_shape_is_refused(
    tmp_path: Path, name: str, model: onnx.ModelProto, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        check_outline(*outline_and_entry(tmp_path, name, model, **changes))


def test_a_second_input_is_refused(tmp_path: Path) -> None:
    model = make_embedder()
    model.graph.input.append(model.graph.input[0])
    model.graph.input[1].name = "second"
    with pytest.raises(ConfigurationError, match="2 inputs"):
        check_outline(*outline_and_entry(tmp_path, "rec.onnx", model))


def test_doubles_are_refused(tmp_path: Path) -> None:
    model = make_embedder()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    with pytest.raises(ConfigurationError, match="not float32"):
        check_outline(*outline_and_entry(tmp_path, "rec.onnx", model))


@pytest.mark.parametrize(("batch", "is_open"), [("n", True), (None, True), (1, False)])
def test_the_batch_axis_is_read_from_the_graph(tmp_path: Path, batch: int | str | None, is_open: bool) -> None:
    assert is_batch_open(*outline_and_entry(tmp_path, "rec.onnx", make_embedder(batch=batch))) is is_open


def test_detector_outputs_without_a_batch_axis_keep_pictures_apart(tmp_path: Path) -> None:
    model = make_detector()
    for output in model.graph.output:
        del output.type.tensor_type.shape.dim[0]
    assert not is_batch_open(*outline_and_entry(tmp_path, "det.onnx", model))


@pytest.mark.parametrize(
    ("shapes", "count", "complaint"),
    [
        ([(1, 16)], 1, None),
        ([(2, 16)], 2, None),
        ([(1, 16)], 2, "came out as 1 x 16, not as 2 x 16"),
        ([(1, 512)], 1, "not as 1 x 16"),
        ([(16,)], 1, "not as 1 x 16"),
    ],
)
def test_what_a_run_gave_is_compared_too(
    tmp_path: Path, shapes: list[tuple[int, ...]], count: int, complaint: str | None
) -> None:
    outline, file = outline_and_entry(tmp_path, "rec.onnx", make_embedder(16))
    if complaint is None:
        check_shapes(outline, file, shapes, count=count)
        return
    with pytest.raises(ConfigurationError, match=complaint):
        check_shapes(outline, file, shapes, count=count)


def test_a_detectors_rows_follow_from_its_strides(tmp_path: Path) -> None:
    outline, file = outline_and_entry(tmp_path, "det.onnx", make_detector())
    rows = [32, 8, 2] * 3
    widths = [1] * 3 + [4] * 3 + [10] * 3
    good = [(1, row, width) for row, width in zip(rows, widths, strict=True)]
    check_shapes(outline, file, good, count=1)
    check_shapes(outline, file, [shape[1:] for shape in good], count=1)
    with pytest.raises(ConfigurationError, match="1 x 31 x 1, not as 1 x 32 x 1"):
        check_shapes(outline, file, [(1, 31, 1), *good[1:]], count=1)
