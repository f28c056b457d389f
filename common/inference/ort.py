"""Networks on ONNX Runtime: the only module that knows it.

Pools run several networks side by side in one process and several processes on one host, so a session takes exactly
the threads and the device it is given, and never moves to another device by itself.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime as ort

from common.errors import ConfigurationError
from common.ports import ModelSession
from common.types import Arrays

Port = tuple[str, tuple[int | str | None, ...]]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_ERROR_SEVERITY = 3


class OrtSession:
    """A network loaded by ONNX Runtime; a `common.ports.ModelSession`."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._inputs: tuple[Port, ...] = tuple((port.name, tuple(port.shape)) for port in session.get_inputs())
        self._outputs: tuple[Port, ...] = tuple((port.name, tuple(port.shape)) for port in session.get_outputs())
        self._names = [name for name, _ in self._outputs]

    @property
    def inputs(self) -> Sequence[Port]:
        """Name and shape of each input; a string or None is a dynamic axis."""
        return self._inputs

    @property
    def outputs(self) -> Sequence[Port]:
        """Name and shape of each output."""
        return self._outputs

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """One run; thread-safe, and without the interpreter lock while it computes."""
        arrays: list[npt.NDArray[Any]] = self._session.run(self._names, dict(feeds))
        return arrays


def load_session(path: Path, *, device: str = "cpu", intra_op_threads: int = 1) -> ModelSession:
    """Load a network on one device.

    Args:
        path: the ONNX file.
        device: `cpu` or `cuda:N`. Call after a fork, never before one.
        intra_op_threads: threads of one run, the caller's included; one run uses no others.

    Raises:
        ConfigurationError: the file cannot be loaded, or CUDA was asked for and is not what runs it.
    """
    ort.disable_telemetry_events()
    _share_cpu_arena()
    try:
        session = ort.InferenceSession(
            str(path), _session_options(intra_op_threads), providers=_providers(device), enable_fallback=0
        )
    except ConfigurationError:
        raise
    except Exception as error:  # ONNX Runtime has no narrower base
        raise ConfigurationError(f"{path} cannot be loaded on {device}: {error}") from error
    active = session.get_providers()
    if device != "cpu" and _CUDA not in active:
        raise ConfigurationError(
            f"{path} was to run on {device}, but ONNX Runtime activated only {', '.join(active)}: CUDA, cuDNN or the "
            "driver could not be loaded (its own log above says which library). Repair that, or set the device to cpu"
        )
    return OrtSession(session)


@cache
def _share_cpu_arena() -> None:
    """Give all networks of this process one CPU arena that grows by what is needed, not to the next power of two."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    unlimited, same_as_requested, default = 0, 1, -1
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(unlimited, same_as_requested, default, default))


def _session_options(intra_op_threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # The last batch of a segment is smaller: a memory pattern per batch size would be kept for ever.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = _ERROR_SEVERITY
    # Waiting threads sleep: other pools need the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    if device == "cpu":
        return [_CPU]
    kind, _, index = device.partition(":")
    if kind != "cuda" or not index.isdecimal():
        raise ConfigurationError(f"{device!r} is not a device; say cpu or cuda:0")
    available = ort.get_available_providers()
    if _CUDA not in available:
        raise ConfigurationError(
            f"{device} was asked for, but the installed onnxruntime {ort.__version__} has only {', '.join(available)}; "
            "install onnxruntime-gpu (locks/gpu.txt) in place of onnxruntime, or set the device to cpu"
        )
    ort.preload_dlls()
    options = {
        "device_id": index,
        # Grow by what is needed instead of to the next power of two: several pools share a card.
        "arena_extend_strategy": "kSameAsRequested",
        # An exhaustive search would be repeated for every new batch size.
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    return [(_CUDA, options), _CPU]
