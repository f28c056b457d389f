"""Small made-up networks with the inputs and outputs of InsightFace's heads: each number depends on many pixels."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Contract to side of the crop in pixels, pooling, and numbers a face.
SHAPES = {"genderage": (96, 4, 3), "landmark_2d_106": (192, 16, 212), "landmark_3d_68": (192, 16, 3309)}


def write_head(path: Path, contract: str, *, batch: int | str = "n", width: int | None = None) -> Path:
    """A network of that contract; its weights are random, the same ones every time.

    Args:
        path: where to write it.
        contract: of `common.packs`.
        batch: size or name of the batch axis.
        width: another number of numbers than the contract's.
    """
    side, pool, usual = SHAPES[contract]
    width = width or usual
    inside = 3 * (side // pool) ** 2
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.6 / np.sqrt(inside), (inside, width)).astype(np.float32)
    bias = random.normal(0, 0.4, width).astype(np.float32)
    if contract == "genderage":
        bias[2] = 0.35
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["data"], ["small"], kernel_shape=[pool, pool], strides=[pool, pool]),
            helper.make_node("Flatten", ["small"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["fc1"]),
        ],
        contract,
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [batch, width])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
