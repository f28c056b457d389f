"""What an ONNX file declares, read without loading its network: names, shapes, and what it would have to hold."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from common.errors import ConfigurationError
from common.packs import MAX_FILE_BYTES

Shape = tuple[int | None, ...]

#: Longest axis that an input or output may fix.
MAX_SIDE: Final = 1 << 16

#: Most numbers that an input or output may fix.
MAX_NUMBERS: Final = 1 << 28

MAX_NODES: Final = 100_000

#: Names in a message come from a stranger.
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output.

    Attributes:
        name: its name in the graph.
        shape: its axes, None where one is open; None altogether when the graph does not say.
        is_float32: whether it holds float32.
    """

    name: str
    shape: Shape | None
    is_float32: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """What a graph takes and gives."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def read_outline(path: Path) -> Outline:
    """Read an ONNX file, and refuse one that declares what it does not hold.

    It takes about twice the memory of the file, whatever the file says of itself.

    Raises:
        ConfigurationError: not ONNX, cut off, with weights in other files, with tensors larger than their data, or
            with unreasonable shapes; names the file and the reason.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is refused: an ONNX file ends at {MAX_FILE_BYTES} bytes")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise ConfigurationError(f"{path} is refused: it is not an ONNX file, or was cut off") from error
    try:
        if not model.graph.node:
            raise _RefusedError("it holds no graph")
        _check_tensors(model)
        weights = {tensor.name for tensor in model.graph.initializer}
        inputs = tuple(_port(value) for value in model.graph.input if value.name not in weights)
        return Outline(inputs, tuple(_port(value) for value in model.graph.output))
    except _RefusedError as error:
        raise ConfigurationError(f"{path} is refused: {error}"[:_LONGEST]) from None


class _RefusedError(Exception):
    """The reason, without the file."""


def _port(value: Any) -> Port:
    kind = value.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim)
        fixed = [side for side in shape if side is not None]
        if max(fixed, default=0) > MAX_SIDE or math.prod(fixed) > MAX_NUMBERS:
            raise _RefusedError(f"{value.name!r} has the unreasonable shape {list(shape)}")
    return Port(value.name, shape, kind.elem_type == onnx.TensorProto.FLOAT)


def _check_tensors(model: Any) -> None:
    nodes = 0
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        if getattr(graph, "sparse_initializer", ()):
            raise _RefusedError("it has sparse weights")
        for tensor in getattr(graph, "initializer", ()):
            _check_tensor(tensor)
        nodes += len(graph.node)
        if nodes > MAX_NODES:
            raise _RefusedError(f"it has more than {MAX_NODES} nodes")
        for node in graph.node:
            graphs.extend(_check_attributes(node))


def _check_attributes(node: Any) -> Iterator[Any]:
    """Check the tensors in a node's attributes; gives the graphs in them."""
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise _RefusedError("it has sparse weights")
        for tensor in (attribute.t, *attribute.tensors):
            _check_tensor(tensor)
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise _RefusedError(f"the weights {tensor.name!r} lie in another file; save the network as one file")
    if any(side < 0 for side in tensor.dims):
        raise _RefusedError(f"the weights {tensor.name!r} have the shape {list(tensor.dims)}")
    held = len(tensor.raw_data) or max(
        len(getattr(tensor, field))
        for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    )
    if math.prod(tensor.dims) > max(held, 1) * 2:  # two numbers a byte, of four bits, are the most there can be
        raise _RefusedError(
            f"the weights {tensor.name!r} declare the shape {list(tensor.dims)}, and hold {held} values"
        )
