"""ONNX files that are not what they say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from common.errors import ConfigurationError
from deploy.models import outline
from deploy.models.outline import read_outline
from tests.unit.packs.networks import SIDE, make_embedder


def save(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_an_outline_tells_names_and_open_axes(tmp_path: Path) -> None:
    found = read_outline(save(tmp_path, make_embedder(16)))
    assert [(port.name, port.shape) for port in found.inputs] == [("input", (None, 3, SIDE, SIDE))]
    assert [(port.name, port.shape) for port in found.outputs] == [("embedding", (None, 16))]


def test_weights_listed_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    model = make_embedder()
    model.graph.input.append(helper.make_tensor_value_info("embedding_weights", TensorProto.FLOAT, [3, 16]))
    assert [port.name for port in read_outline(save(tmp_path, model)).inputs] == ["input"]


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"


def huge_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 31, 1 << 31]


def negative_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1, 16]


def huge_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 40


def huge_output(model: onnx.ModelProto) -> None:
    for axis in model.graph.output[0].type.tensor_type.shape.dim:
        axis.dim_value = 50_000


def huge_constant(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "constant")
    tensor.dims[:] = [1 << 40]
    model.graph.node.append(helper.make_node("Constant", [], ["constant"], value=tensor))


def external_in_a_branch(model: onnx.ModelProto) -> None:
    inner = make_embedder()
    external(inner)
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner.graph, else_branch=inner.graph))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().dims[:] = [1 << 40]


def no_nodes(model: onnx.ModelProto) -> None:
    model.graph.ClearField("node")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (external, "'embedding_weights' lie in another file"),
        (external_in_a_branch, "lie in another file"),
        (huge_weights, "declare the shape [2147483648, 2147483648], and hold 192 values"),
        (negative_weights, "have the shape"),
        (huge_constant, "'constant' declare the shape"),
        (huge_input, "'input' has the unreasonable shape"),
        (huge_output, "'embedding' has the unreasonable shape"),
        (sparse, "sparse weights"),
        (no_nodes, "holds no graph"),
    ],
)
def test_a_file_that_declares_what_it_does_not_hold_is_refused(
    tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    model = make_embedder()
    spoil(model)
    with pytest.raises(ConfigurationError, match=r"net\.onnx is refused: .*") as caught:
        read_outline(save(tmp_path, model))
    assert reason in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"PK\x03\x04 a zip", b"<html>not found</html>", b"\xff" * 500])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"net\.onnx is refused"):
        read_outline(tmp_path / "net.onnx")


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    data = make_embedder(512).SerializeToString()
    (tmp_path / "net.onnx").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ConfigurationError, match="was cut off"):
        read_outline(tmp_path / "net.onnx")


def test_a_file_of_more_than_two_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "net.onnx").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ConfigurationError, match="ends at"):
        read_outline(tmp_path / "net.onnx")


def test_endless_graphs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "MAX_NODES", 3)
    with pytest.raises(ConfigurationError, match="more than 3 nodes"):
        read_outline(save(tmp_path, make_embedder()))
