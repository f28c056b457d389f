"""Integer products of a few probes with many rows, as fast as the processor can read the rows.

ONNX Runtime has such a kernel (MatMulInteger: VNNI, AVX2, NEON), and rows that are a constant of a graph are laid out
for it once. A graph without that promise of exactness is not used: processors without VNNI may saturate sums of two
products at 16 bits, so `multiplier` asks for a known answer first.
"""

import ctypes
import os
from functools import cache
from typing import Protocol

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from common.index.quantize import LARGEST, OFFSET, Int8s
from common.types import Float32s, Int32s, Uint8s

_OPSET = 13
_IR_VERSION = 8


class Products(Protocol):
    """Rows that can be multiplied."""

    def __call__(self, probes: Uint8s, out: Int32s) -> None:
        """Write the exact products of (probes, dim) uint8, `u + OFFSET`, with every row into (probes, rows) int32."""


def multiplier(rows: Int8s) -> Products:
    """The fastest exact way for (rows, dim) int8 in [-127, 127]; `rows` may be forgotten afterwards."""
    return OrtProducts(rows) if is_exact() else NumpyProducts(rows)


@cache
def is_exact() -> bool:
    """Whether the kernel gives the right answer where every product is as large as it can be."""
    rows = np.full((64, 512), LARGEST, np.int8)
    rows[1::2] = -LARGEST
    rows[2::4, ::2] = 1
    probes = np.full((3, 512), LARGEST + OFFSET, np.uint8)
    probes[1] = OFFSET - LARGEST
    probes[2, ::3] = OFFSET
    answers = [np.empty((n, len(rows)), np.int32) for n in (1, 3)]
    for answer in answers:
        OrtProducts(rows)(probes[: len(answer)], answer)
    expected = (probes.astype(np.int32) - OFFSET) @ rows.astype(np.int32).T
    return all(np.array_equal(answer, expected[: len(answer)]) for answer in answers)


class OrtProducts:
    """See `Products`; keeps one copy of the rows, in the kernel's own layout."""

    def __init__(self, rows: Int8s) -> None:
        self._rows = len(rows)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # memory is what is waited for: a second thread gains nothing
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = _load(_graph(rows), options)

    def __call__(self, probes: Uint8s, out: Int32s) -> None:
        """See `Products`."""
        binding = self._session.io_binding()
        binding.bind_cpu_input("probes", probes)
        binding.bind_output("products", "cpu", 0, np.int32, (len(probes), self._rows), out.ctypes.data)
        self._session.run_with_iobinding(binding)


class NumpyProducts:
    """See `Products`; for processors whose integer kernel saturates.

    Sums of up to 1,040 products of the largest integers are exact in float32.
    """

    def __init__(self, rows: Int8s) -> None:
        self._rows = rows

    def __call__(self, probes: Uint8s, out: Int32s) -> None:
        """See `Products`."""
        signed = probes.astype(np.float32) - np.float32(OFFSET)
        columns: Float32s = self._rows.astype(np.float32).T
        out[:] = signed @ columns


def trim_memory() -> None:
    """Give back to the system what building has freed, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _graph(rows: Int8s) -> onnx.ModelProto:
    count, dimension = rows.shape
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["probes", "rows", "offset"], ["products"])],
        "products",
        [helper.make_tensor_value_info("probes", TensorProto.UINT8, ["probes", dimension])],
        [helper.make_tensor_value_info("products", TensorProto.INT32, ["probes", count])],
        [
            helper.make_tensor("offset", TensorProto.UINT8, [], [OFFSET]),
            numpy_helper.from_array(np.ascontiguousarray(rows.T), "rows"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


def _load(model: onnx.ModelProto, options: ort.SessionOptions) -> ort.InferenceSession:
    """Through a file in memory: a session made from bytes would keep them beside its own copy."""
    if not hasattr(os, "memfd_create"):
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with os.fdopen(os.memfd_create("facepipe-index"), "wb") as file:
        file.write(model.SerializeToString())
        file.flush()
        path = f"/proc/self/fd/{file.fileno()}"
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
