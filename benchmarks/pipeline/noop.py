"""A pack whose networks compute nothing: what is left when inference is free is the price of everything around it.

The detector finds one face in the middle of every frame, the embedder gives the same vector for all.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NAME = "noop"
DIM = 512
_STRIDES = (8, 16, 32)
_WIDTHS = {"score": 1, "bbox": 4, "kps": 10}

#: Where the face is, in places of the middle stride of a 640 x 384 input, and in strides: a box of 192 x 192 px.
_PLACE = 12 * 40 + 20
_ROWS = {"score": [0.0], "bbox": [6.0] * 4, "kps": [-2.2, -1.5, 2.2, -1.5, 0.0, 0.5, -1.8, 2.5, 1.8, 2.5]}


def write_noop_pack(folder: Path) -> Path:
    """Write `folder/noop` with a manifest; returns the folder."""
    pack = folder / NAME
    pack.mkdir(parents=True, exist_ok=True)
    _write_detector(pack / "det_noop.onnx")
    _write_embedder(pack / "rec_noop.onnx")
    manifest = {
        "format": 1,
        "name": NAME,
        "version": "1",
        "description": "Finds one face in the middle of each frame; computes nothing.",
        "licence": {"name": "none", "commercial_use": True, "notice": "For benchmarks only."},
        "files": [
            _entry(pack / "det_noop.onnx", 640)
            | {"task": "detection", "contract": "scrfd", "min_det_score": 0.5, "nms_iou": 0.4},
            _entry(pack / "rec_noop.onnx", 112)
            | {
                "task": "embedding",
                "contract": "arcface",
                "dim": DIM,
                "model_id": NAME,
                "min_similarity": {"1e-3": 0.5},
                "min_similarity_origin": "made up",
            },
        ],
    }
    (pack / "manifest.json").write_text(json.dumps(manifest))
    return pack


def _entry(path: Path, side_px: int) -> dict[str, Any]:
    data = path.read_bytes()
    return {
        "name": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "origin": "made by the benchmark",
        "input": {"side_px": side_px, "mean": 127.5, "std": 128.0},
    }


def _write_detector(path: Path) -> None:
    """Outputs of the right shapes for any input, zeros but for one place of the middle stride."""
    nodes = [
        helper.make_node("Shape", ["input"], ["n"], start=0, end=1),
        helper.make_node("Shape", ["input"], ["sides"], start=2, end=4),
    ]
    weights: list[onnx.TensorProto] = []
    outputs = []

    def constant(name: str, value: np.ndarray[Any, Any]) -> str:
        weights.append(numpy_helper.from_array(value, name))
        return name

    for stride in _STRIDES:
        nodes += [
            helper.make_node(
                "Div", ["sides", constant(f"stride_{stride}", np.array([stride], np.int64))], [f"c{stride}"]
            ),
            helper.make_node("ReduceProd", [f"c{stride}"], [f"places{stride}"], keepdims=1),
        ]
    for kind, width in _WIDTHS.items():
        for stride in _STRIDES:
            name = f"{kind}_{stride}"
            columns = constant(f"{name}_width", np.array([width], np.int64))
            nodes.append(helper.make_node("Concat", ["n", f"places{stride}", columns], [f"{name}_shape"], axis=0))
            filled = f"{name}_zeros" if (kind, stride) == ("score", 16) else name
            row = constant(f"{name}_row", np.array(_ROWS[kind], np.float32).reshape(1, 1, width))
            nodes.append(helper.make_node("Expand", [row, f"{name}_shape"], [filled]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None, width]))
    nodes += _one_face(constant)
    _save(path, nodes, weights, outputs, ["n", 3, "height", "width"])


def _one_face(constant: Any) -> list[onnx.NodeProto]:
    """The score of the place in the middle is 0.9 for every frame."""
    return [
        helper.make_node("Squeeze", ["places16"], ["scalar"]),
        helper.make_node(
            "Range",
            [constant("from", np.array(0, np.int64)), "scalar", constant("step", np.array(1, np.int64))],
            ["places"],
        ),
        helper.make_node("Equal", ["places", constant("place", np.array(_PLACE, np.int64))], ["is_place"]),
        helper.make_node("Cast", ["is_place"], ["one_hot"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["one_hot", constant("score", np.array(0.9, np.float32))], ["scores"]),
        helper.make_node("Unsqueeze", ["scores", constant("axis", np.array([1], np.int64))], ["column"]),
        helper.make_node("Add", ["score_16_zeros", "column"], ["score_16"]),
    ]


def _write_embedder(path: Path) -> None:
    vector = np.full((1, DIM), 1 / np.sqrt(DIM), np.float32)
    nodes = [
        helper.make_node("Shape", ["input"], ["n"], start=0, end=1),
        helper.make_node("Concat", ["n", "dim"], ["shape"], axis=0),
        helper.make_node("Expand", ["vector", "shape"], ["embedding"]),
    ]
    weights = [numpy_helper.from_array(vector, "vector"), numpy_helper.from_array(np.array([DIM], np.int64), "dim")]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])]
    _save(path, nodes, weights, outputs, ["n", 3, 112, 112])


def _save(path: Path, nodes: Any, weights: Any, outputs: Any, shape: list[int | str]) -> None:
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, path.stem, [source], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
