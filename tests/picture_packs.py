"""Packs for captions and segmentation whose right answers are known: `python -m tests.picture_packs FOLDER` writes one.

Their networks have the inputs and outputs of real ones and nothing learnt. The segmenter finds what is saturated red,
green or blue, one object a colour, and calls it car, dog or person. The captioner looks at the mean colour, and its
decoder goes from each token to the next one of that colour's sentence.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Layout = Literal["yolo8", "yolo7", "yolact"]

SIDE = 64
CELL = 4

#: Class of what is red, green and blue, and its score.
COLOUR_CLASSES = (2, 16, 0)
COLOUR_SCORES = (0.9, 0.8, 0.7)

SENTENCES = (
    "a man play ##ing the guitar on stage",
    "people play ##ing soccer on the field",
    "nothing but plain blue colour in here",
)
TOKENS = ("[PAD]", "[DEC]", "[SEP]", "[UNK]", *dict.fromkeys(" ".join(SENTENCES).split()))


class _Graph:
    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._count = 0

    def add(self, kind: str, *inputs: "str | np.ndarray", name: str = "", **attributes: Any) -> str:
        """A node; arrays among its inputs become constants. Gives the name of its output."""
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        self._count += 1
        output = name or f"value_{self._count}"
        self._nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def _constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def write(self, path: Path, inputs: Sequence[Any], outputs: Mapping[str, Sequence[int | str]]) -> None:
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
        graph = helper.make_graph(self._nodes, path.stem, inputs, ports, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


def write_segmenter(path: Path, layout: Layout) -> None:
    """A segmenter of `SIDE` px, RGB, values 0 to 1; it says everything twice, the second time with half the score."""
    graph = _Graph()
    mixing = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32).reshape(3, 3, 1, 1) * 1000
    raw = graph.add("Conv", "images", mixing, np.full(3, -400, np.float32))
    is_colour = graph.add("Clip", raw, _number(0), _number(1))
    edges = [_extent(graph, graph.add("ReduceMax", is_colour, axes=[axis], keepdims=0)) for axis in (2, 3)]
    ((x1, x2), (y1, y2)) = edges
    columns = graph.add("ReduceMax", is_colour, axes=[2], keepdims=0)
    sure = graph.add("Mul", graph.add("ReduceMax", columns, axes=[2], keepdims=1), _column(COLOUR_SCORES))
    middle = [_halved(graph, "Add", *pair) for pair in ((x1, x2), (y1, y2))]
    size = [graph.add("Sub", x2, x1), graph.add("Sub", y2, y1)]
    box = _twice(graph, graph.add("Concat", *middle, *size, axis=2))
    score = graph.add("Concat", sure, graph.add("Mul", sure, _number(0.5)), axis=1)
    chosen = np.zeros((1, 6, 80), np.float32)
    chosen[0, range(6), [*COLOUR_CLASSES, *COLOUR_CLASSES]] = 1
    scores = graph.add("Mul", score, chosen)
    nothing = graph.add("Mul", score, _number(0))
    coefficients = graph.add("Add", nothing, np.tile(np.eye(3, dtype=np.float32), (2, 1))[None])
    pooled = graph.add("AveragePool", is_colour, kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    prototypes = graph.add("Sub", graph.add("Mul", pooled, _number(20)), _number(10))
    cells = SIDE // CELL
    outputs: dict[str, Sequence[int | str]]
    if layout == "yolo8":
        rows = graph.add("Concat", box, scores, coefficients, axis=2)
        graph.add("Transpose", rows, perm=[0, 2, 1], name="output0")
        graph.add("Identity", prototypes, name="output1")
        outputs = {"output0": ["n", 87, 6], "output1": ["n", 3, cells, cells]}
    elif layout == "yolo7":
        names = graph.add("Add", graph.add("Mul", scores, _number(0)), chosen)
        graph.add("Concat", box, score, names, coefficients, axis=2, name="output")
        graph.add("Identity", prototypes, name="proto")
        outputs = {"output": ["n", 6, 88], "proto": ["n", 3, cells, cells]}
    else:
        _give_yolact(graph, box, score, scores)
        graph.add("Identity", coefficients, name="mask")
        graph.add("Transpose", prototypes, perm=[0, 2, 3, 1], name="proto")
        places: dict[str, Sequence[int | str]] = {
            name: ["n", 6, n] for name, n in (("loc", 4), ("conf", 81), ("mask", 3))
        }
        outputs = {**places, "priors": [6, 4], "proto": ["n", cells, cells, 3]}
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    graph.write(path, [picture], outputs)


def write_encoder(path: Path) -> None:
    """The mean colour, (n, 1, 3)."""
    graph = _Graph()
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", "pixel_values"))
    graph.add("Unsqueeze", flat, np.array([1], np.int64), name="features")
    picture = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    graph.write(path, [picture], {"features": ["n", 1, 3]})


def write_decoder(path: Path) -> None:
    """Logits of 10 for the token that follows in the sentence of the strongest colour."""
    graph = _Graph()
    share = graph.add("Softmax", graph.add("Mul", "features", _number(50)), axis=2)
    parts = []
    for colour, sentence in enumerate(SENTENCES):
        follows = np.zeros((len(TOKENS), len(TOKENS)), np.float32)
        walk = [TOKENS.index(token) for token in ("[DEC]", *sentence.split(), "[SEP]")]
        follows[walk[:-1], walk[1:]] = 10
        one = graph.add("Gather", share, np.array([colour], np.int64), axis=2)
        parts.append(graph.add("Mul", graph.add("Gather", follows, "input_ids"), one))
    graph.add("Sum", *parts, name="logits")
    tokens = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "length"])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1, 3])
    graph.write(path, [tokens, features], {"logits": ["n", "length", len(TOKENS)]})


def write_vocabulary(path: Path) -> None:
    """The tokens, as `common.vocabulary` reads them."""
    path.write_text(
        json.dumps(
            {
                "format": 1,
                "joining": "wordpiece",
                "begin": "[DEC]",
                "end": "[SEP]",
                "unknown": "[UNK]",
                "special": ["[PAD]"],
                "tokens": TOKENS,
            }
        )
    )


def write_pack(folder: Path, *, layout: Layout | None = None, captions: bool = False) -> Path:
    """A pack named as its folder, with a segmenter of this layout, a captioner, or both; gives the folder."""
    folder.mkdir(parents=True)
    values = {"mean": [0, 0, 0], "std": [255, 255, 255]}
    entries: list[dict[str, Any]] = []
    if layout is not None:
        write_segmenter(folder / "segment.onnx", layout)
        contract, fit = ("yolact", "stretch") if layout == "yolact" else ("yolo_seg", "letterbox")
        given = {"side_px": SIDE, "fit": fit, **values}
        entries.append({"name": "segment.onnx", "task": "segmentation", "contract": contract, "input": given})
    if captions:
        write_encoder(folder / "encoder.onnx")
        write_decoder(folder / "decoder.onnx")
        write_vocabulary(folder / "words.json")
        given = {"side_px": SIDE, "fit": "stretch", "resampling": "bicubic", **values}
        entries += [
            {"name": "encoder.onnx", "task": "captioning", "contract": "encoder_decoder", "input": given},
            {"name": "decoder.onnx", "task": "caption_decoder", "contract": "tokens_features"},
            {"name": "words.json", "task": "vocabulary", "contract": "json"},
        ]
    for entry in entries:
        data = (folder / entry["name"]).read_bytes()
        entry.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), origin="made by tests.picture_packs")
    manifest = {
        "format": 1,
        "name": folder.name,
        "version": "1",
        "description": "Sees colours; for tests.",
        "licence": {"name": "Apache-2.0", "spdx": "Apache-2.0", "commercial_use": True, "notice": "For tests."},
        "files": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _extent(graph: _Graph, present: str) -> tuple[str, str]:
    """First and last place, (n, 3, 1) each, where (n, 3, SIDE) is 1."""
    counting = np.arange(1, SIDE + 1, dtype=np.float32)
    last = graph.add("ReduceMax", graph.add("Mul", present, counting), axes=[2], keepdims=1)
    back = graph.add("ReduceMax", graph.add("Mul", present, counting[::-1].copy()), axes=[2], keepdims=1)
    return graph.add("Sub", _number(SIDE), back), last


def _give_yolact(graph: _Graph, box: str, score: str, scores: str) -> None:
    priors = np.full((6, 4), 0.5, np.float32)
    middle, size = (
        graph.add("Slice", box, *(np.array([n], np.int64) for n in (start, start + 2, 2))) for start in (0, 2)
    )
    shift = graph.add("Mul", graph.add("Sub", graph.add("Div", middle, _number(SIDE)), _number(0.5)), _number(20))
    share = graph.add("Max", graph.add("Div", size, _number(SIDE / 2)), _number(1e-4))
    growth = graph.add("Mul", graph.add("Log", share), _number(5))
    graph.add("Concat", shift, growth, axis=2, name="loc")
    graph.add("Concat", graph.add("Sub", _number(1), score), scores, axis=2, name="conf")
    graph.add("Identity", priors, name="priors")


def _halved(graph: _Graph, kind: str, first: str, second: str) -> str:
    return graph.add("Mul", graph.add(kind, first, second), _number(0.5))


def _twice(graph: _Graph, rows: str) -> str:
    return graph.add("Concat", rows, rows, axis=1)


def _number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def _column(values: Sequence[float]) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, -1, 1)


if __name__ == "__main__":
    write_pack(Path(sys.argv[1]) / "colours", layout="yolo8", captions=True)
