"""Smaller ONNX files: weights as float16 behind Cast nodes.

ONNX Runtime folds the casts when it loads such a file, so all arithmetic stays float32.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

#: Smaller tensors, mostly shapes and scalars, are left as they are.
MIN_STORED_NUMBERS: Final = 64

#: The largest number of a tensor that float16 can hold, with some room.
MAX_STORED: Final = 6e4

#: Operations at the beginning of a graph that normalise its input.
NORMALISING: Final = ("Constant", "Sub", "Mul")


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its larger float32 weights as float16 behind Cast nodes."""
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    graph = stored.graph
    casts, kept = [], []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < MIN_STORED_NUMBERS or np.abs(value).max() > MAX_STORED:
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(value.astype(np.float16), f"{tensor.name}_half"))
        casts.append(
            helper.make_node(
                "Cast", [f"{tensor.name}_half"], [tensor.name], f"Cast_{tensor.name}", to=TensorProto.FLOAT
            )
        )
    nodes = list(graph.node)
    # What normalises the input stays at the very front, where InsightFace looks for it.
    first = next((index for index, node in enumerate(nodes) if node.op_type == "Conv"), 0)
    front = [index for index in range(first) if nodes[index].op_type in NORMALISING]
    others = [node for index, node in enumerate(nodes) if index not in front]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend([*(nodes[index] for index in front), *casts, *others])
    onnx.checker.check_model(stored, full_check=True)
    return stored


def run_onnx(model: onnx.ModelProto, images: np.ndarray) -> list[np.ndarray]:
    """All outputs, on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: images}))


def difference(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """The largest difference of any output, in shares of the largest number in it."""
    return max(
        float(np.abs(one - other).max() / max(1e-6, np.abs(other).max()))
        for one, other in zip(first, second, strict=True)
    )
