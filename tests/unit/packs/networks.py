"""Tiny networks with the inputs and outputs of real ones, and packs made of them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 32
STRIDES = (8, 16, 32)

Axes = Sequence[int | str | None]


def make_network(
    outputs: Mapping[str, Sequence[int]], *, side: int | None = SIDE, batch: int | str | None = "n", seed: int = 0
) -> onnx.ModelProto:
    """A network that makes arrays of the given shapes, after the batch axis, of each picture's mean colour."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
    ]
    weights = []
    ports = []
    for name, shape in outputs.items():
        matrix = rng.normal(size=(3, int(np.prod(shape)))).astype(np.float32) / 255
        weights += [
            numpy_helper.from_array(matrix, f"{name}_weights"),
            numpy_helper.from_array(np.array([0, *shape], np.int64), f"{name}_shape"),
        ]
        nodes += [
            helper.make_node("MatMul", ["colour", f"{name}_weights"], [f"{name}_flat"]),
            helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [name]),
        ]
        ports.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape]))
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, side, side])
    graph = helper.make_graph(nodes, "tiny", [picture], ports, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def make_detector(*, levels: int = 3, side: int | None = SIDE, seed: int = 0, **options: Any) -> onnx.ModelProto:
    """An SCRFD with landmarks."""
    rows = [2 * (SIDE // stride) ** 2 for stride in STRIDES[:levels]]
    outputs = {
        f"{kind}_{level}": (count, width)
        for kind, width in (("score", 1), ("box", 4), ("points", 10))
        for level, count in enumerate(rows)
    }
    return make_network(outputs, side=side, seed=seed, **options)


def make_embedder(dim: int = 16, **options: Any) -> onnx.ModelProto:
    """An ArcFace."""
    return make_network({"embedding": (dim,)}, **options)


def constant_of_shape(*sides: int) -> onnx.ModelProto:
    """An embedder in whose graph a tensor of that shape is made from almost nothing."""
    model = make_embedder()
    model.graph.initializer.append(numpy_helper.from_array(np.array(sides, np.int64), "sides"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["sides"], ["huge"]))
    model.graph.node.insert(1, helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0))
    model.graph.node[-1].output[0] = "plain"
    model.graph.node.append(helper.make_node("Add", ["plain", "sum"], ["embedding"]))
    return model


def write_pack(folder: Path, networks: Mapping[str, onnx.ModelProto] | None = None, **changes: Any) -> dict[str, Any]:
    """Write `det.onnx`, `rec.onnx` and whatever else is given, with a manifest, into a folder; gives the manifest."""
    networks = {"det.onnx": make_detector(), "rec.onnx": make_embedder()} | dict(networks or {})
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, network in networks.items():
        (folder / name).write_bytes(network.SerializeToString())
        files.append(describe(folder / name))
    manifest = {
        "format": 1,
        "name": "toy",
        "version": "1",
        "description": "A pack for tests.",
        "licence": {"name": "none", "commercial_use": False, "notice": "Not for use."},
        "files": files,
    } | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return manifest


def describe(path: Path) -> dict[str, Any]:
    """The entry of a file in a manifest; its name says what it is."""
    data = path.read_bytes()
    tasks: dict[str, dict[str, Any]] = {
        "det": {"task": "detection", "contract": "scrfd", "min_det_score": 0.5, "nms_iou": 0.4},
        "rec": {
            "task": "embedding",
            "contract": "arcface",
            "dim": 16,
            "model_id": "toy-1",
            "min_similarity": {"1e-3": 0.3},
        },
        "age": {"task": "attributes", "contract": "genderage"},
        "p2d": {"task": "landmarks", "contract": "landmark_2d_106"},
        "p3d": {"task": "landmarks", "contract": "landmark_3d_68"},
    }
    return {
        "name": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "origin": "made up",
        "input": {"side_px": SIDE, "mean": 127.5, "std": 128},
    } | tasks[path.stem[:3]]
