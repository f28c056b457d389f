"""Runs of one network whose inputs lie in memory of its device that is used again.

A plain run takes memory on the device for its inputs each time. Here the memory of each shape is bound once, and a run
only copies into it. Outputs go to memory of the host that ONNX Runtime keeps, and are handed out without a copy.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy.typing as npt
import onnxruntime as ort

from common.inference.devices import Device
from common.types import Arrays

#: Memory of inputs that nobody uses at the moment, for each network. It lies beside what the device's arena may have.
KEPT_BYTES: Final = 512 << 20

_Shape = tuple[tuple[str, tuple[int, ...], str], ...]


class BoundRuns:
    """See the module; thread-safe: runs side by side have memory of their own.

    Args:
        session: the loaded network.
        device: where it runs.
        outputs: names, in the order that they are to be given in.
        kept_bytes: idle memory at most; what was idle for longest goes first, and the latest always stays.
    """

    def __init__(
        self, session: ort.InferenceSession, device: Device, outputs: Sequence[str], *, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._session = session
        self._device = device
        self._outputs = tuple(outputs)
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._idle: list[_Binding] = []

    @property
    def idle_bytes(self) -> int:
        """Memory of inputs that nobody uses at the moment."""
        with self._lock:
            return self._count_idle()

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """One run; its memory is not kept where it fails.

        Returns:
            Arrays that no later run changes.
        """
        binding = self._take(feeds)
        outputs = binding.run(feeds)
        self._give_back(binding)
        return outputs

    def _take(self, feeds: Arrays) -> "_Binding":
        shape = _shape_of(feeds)
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number].shape == shape:
                    return self._idle.pop(number)
        return _Binding(self._session, self._device, self._outputs, feeds)

    def _give_back(self, binding: "_Binding") -> None:
        with self._lock:
            self._idle.append(binding)
            while len(self._idle) > 1 and self._count_idle() > self._kept_bytes:
                self._idle.pop(0)

    def _count_idle(self) -> int:
        return sum(one.size_bytes for one in self._idle)


class _Binding:
    """Memory for the inputs of one run at a time, all of one shape."""

    def __init__(self, session: ort.InferenceSession, device: Device, outputs: Sequence[str], feeds: Arrays) -> None:
        self.shape = _shape_of(feeds)
        self.size_bytes = sum(array.nbytes for array in feeds.values())
        self._session = session
        self._outputs = outputs
        self._binding = session.io_binding()
        self._buffers: dict[str, ort.OrtValue] = {}
        where = "cpu" if device.is_cpu else "cuda"  # TensorRT computes in CUDA's memory
        for name, array in feeds.items():
            buffer = ort.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype.type, where, device.index)
            self._binding.bind_ortvalue_input(name, buffer)
            self._buffers[name] = buffer

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        for name, array in feeds.items():
            self._buffers[name].update_inplace(array)
        self._binding.synchronize_inputs()
        for name in self._outputs:
            # Outputs that stay bound would be written over by the next run.
            self._binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        arrays = [value.numpy() for value in self._binding.get_outputs()]
        self._binding.clear_binding_outputs()
        return arrays


def _shape_of(feeds: Arrays) -> _Shape:
    return tuple((name, array.shape, array.dtype.str) for name, array in feeds.items())
