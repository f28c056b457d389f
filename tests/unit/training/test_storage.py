import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: it is only needed for training")

from training.storage import difference, run_onnx, store_half  # noqa: E402


def network() -> "onnx.ModelProto":
    """(n, 3, 8, 8), normalised, through one convolution with a large kernel tensor and a small bias."""
    rng = np.random.default_rng(1)
    weights = {
        "mean": np.array(127.5, np.float32),
        "gain": np.array(1 / 128, np.float32),
        "kernel": rng.normal(0, 0.2, (16, 3, 3, 3)).astype(np.float32),
        "bias": rng.normal(0, 1, 16).astype(np.float32),
    }
    make = onnx.helper
    nodes = [
        make.make_node("Identity", ["kernel"], ["same"], "Identity_0"),
        make.make_node("Sub", ["data", "mean"], ["centred"], "Sub_0"),
        make.make_node("Mul", ["centred", "gain"], ["scaled"], "Mul_0"),
        make.make_node("Conv", ["scaled", "same", "bias"], ["out"], "Conv_0", pads=[1, 1, 1, 1]),
    ]
    number = onnx.TensorProto.FLOAT
    graph = make.make_graph(
        nodes,
        "network",
        [make.make_tensor_value_info("data", number, ["batch", 3, 8, 8])],
        [make.make_tensor_value_info("out", number, ["batch", 16, 8, 8])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)


def test_large_tensors_become_half_and_the_answers_stay() -> None:
    exact = network()
    stored = store_half(exact)
    kinds = {tensor.name: tensor.data_type for tensor in stored.graph.initializer}
    assert kinds.pop("kernel_half") == onnx.TensorProto.FLOAT16
    assert set(kinds) == {"mean", "gain", "bias"}
    assert stored.ByteSize() < exact.ByteSize()
    images = np.random.default_rng(2).uniform(0, 255, (2, 3, 8, 8)).astype(np.float32)
    assert 0 < difference(run_onnx(stored, images), run_onnx(exact, images)) < 2e-3


def test_what_normalises_the_input_comes_first_for_insightface_looks_there() -> None:
    assert [node.name for node in store_half(network()).graph.node] == [
        "Sub_0",
        "Mul_0",
        "Cast_kernel",
        "Identity_0",
        "Conv_0",
    ]


def test_tensors_that_half_cannot_hold_are_left() -> None:
    model = network()
    huge = onnx.numpy_helper.from_array(np.full((16, 3, 3, 3), 7e4, np.float32), "kernel")
    model.graph.initializer[2].CopyFrom(huge)
    assert all(tensor.data_type == onnx.TensorProto.FLOAT for tensor in store_half(model).graph.initializer)


def test_a_difference_is_relative_to_the_largest_number() -> None:
    assert difference([np.array([1.0, 100.0])], [np.array([3.0, 100.0])]) == pytest.approx(0.02)
