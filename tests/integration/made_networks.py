"""Small made-up detectors and embedders with the inputs and outputs of the real ones; weights are random, but the same
ones every time, and every number depends on the picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common.inference.detectors import SCRFD_LAYOUTS
from workers.detect import yunet
from workers.detect.scrfd import WIDTHS


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._random = np.random.default_rng(0)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def cells(self, source: str, stride: int) -> str:
        """(n, 3, rows, columns), the mean of each cell of the picture."""
        name = f"cells_{stride}"
        if not any(name in node.output for node in self.nodes):
            self.node("AveragePool", [source], name, kernel_shape=[stride, stride], strides=[stride, stride])
        return name

    def head(self, source: str, name: str, width: int, *, anchors: int, stride: int, scale: float, bias: float) -> str:
        """(n, places * anchors, width): a linear function of each cell."""
        weight = self._random.normal(0, scale, (anchors * width, 3, 1, 1)).astype(np.float32)
        offset = self._random.normal(bias, scale / 4, anchors * width).astype(np.float32)
        inputs = [self.cells(source, stride), self.constant(f"{name}_w", weight), self.constant(f"{name}_b", offset)]
        planes = self.node("Conv", inputs, f"{name}_planes")
        last = self.node("Transpose", [planes], f"{name}_last", perm=[0, 2, 3, 1])
        shape = self.constant(f"{name}_shape", np.array([0, -1, width], np.int64))
        # Zero copies the batch axis; rows, columns and anchors become one.
        merged = self.constant(f"{name}_merge", np.array([0, -1, anchors * width], np.int64))
        return self.node("Reshape", [self.node("Reshape", [last, merged], f"{name}_rows"), shape], f"{name}_raw")

    def write(self, path: Path, name: str, shape: Sequence[int | str]) -> Path:
        source = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, path.stem, [source], self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path

    def give(self, name: str, shape: Sequence[int | str | None]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def write_scrfd(path: Path, outputs: int, *, has_batch_axis: bool = True) -> Path:
    """An SCRFD with so many outputs; as InsightFace's, two anchors with three strides and one with five.

    Args:
        path: where to write it.
        outputs: 6, 9, 10 or 15.
        has_batch_axis: of the outputs; without it the input takes one picture, as in InsightFace's own exports.
    """
    layout, graph = SCRFD_LAYOUTS[outputs], _Graph()
    anchors = 2 if len(layout.strides) == 3 else 1
    for group, width in zip(("score", "bbox", "kps"), WIDTHS, strict=True):
        for stride in layout.strides:
            if group == "kps" and not layout.has_landmarks:
                continue
            name = f"{group}_{stride}"
            scale, bias = {"score": (4.0, -6.0), "bbox": (0.5, 1.5), "kps": (0.6, 0.0)}[group]
            raw = graph.head("input.1", name, width, anchors=anchors, stride=stride, scale=scale, bias=bias)
            kind = {"score": "Sigmoid", "bbox": "Softplus", "kps": "Identity"}[group]
            final = graph.node(kind, [raw], name if has_batch_axis else f"{name}_batched")
            if not has_batch_axis:
                flat = graph.constant(f"{name}_flat", np.array([-1, width], np.int64))
                graph.node("Reshape", [final, flat], name)
            graph.give(name, ["n", None, width] if has_batch_axis else [None, width])
    return graph.write(path, "input.1", ["n" if has_batch_axis else 1, 3, "height", "width"])


def write_yunet(path: Path, *, side_px: int | str = "side") -> Path:
    """A YuNet; its outputs in the order of OpenCV Zoo's."""
    graph = _Graph()
    widths = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    for name in yunet.OUTPUTS:
        kind, stride = name.split("_")
        scale, bias = {"cls": (0.01, 0.5), "obj": (0.01, 0.5), "bbox": (0.004, 0.0), "kps": (0.004, 0.0)}[kind]
        raw = graph.head("input", name, widths[kind], anchors=1, stride=int(stride), scale=scale, bias=bias)
        graph.node("Sigmoid" if kind in ("cls", "obj") else "Identity", [raw], name)
        graph.give(name, ["n", None, widths[kind]])
    return graph.write(path, "input", ["n", 3, side_px, side_px])


def write_embedder(path: Path, dim: int, *, batch: int | str = "n", flaw: float = 0.0) -> Path:
    """An embedder of crops, input `data` and output `fc1` as in SFace.

    Args:
        path: where to write it.
        dim: length of an embedding.
        batch: size or name of the batch axis.
        flaw: share of the mean of a run that is added to each of its rows, as in graphs whose batch axis was opened by
            force.
    """
    graph = _Graph()
    random = np.random.default_rng(1)
    graph.node("AveragePool", ["data"], "small", kernel_shape=[8, 8], strides=[8, 8])
    flat = graph.node("Flatten", ["small"], "flat")
    if flaw:
        mean = graph.node("ReduceMean", [flat], "mean", axes=[0], keepdims=1)
        share = graph.node("Mul", [mean, graph.constant("share", np.array(flaw, np.float32))], "mean_share")
        flat = graph.node("Add", [flat, share], "mixed")
    inside = 3 * 14 * 14
    weight = graph.constant("weight", random.normal(0, 1 / np.sqrt(inside), (inside, dim)).astype(np.float32))
    graph.node("MatMul", [flat, weight], "fc1")
    graph.give("fc1", [batch, dim])
    return graph.write(path, "data", [batch, 3, 112, 112])
