"""Networks on ONNX Runtime; besides this module only `common.inference.binding` knows it.

Pools run several networks side by side in one process and several processes on one host, so a session takes exactly
the threads, the memory and the device it is given, and never moves to another device by itself.
"""

import json
import re
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import onnxruntime as ort

from common.errors import ConfigurationError, TransientError
from common.inference.binding import BoundRuns
from common.inference.devices import CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER, Device
from common.inference.tensorrt import EngineBuild
from common.types import Arrays

Port = tuple[str, tuple[int | str | None, ...]]

_ERROR_SEVERITY = 3
_OUT_OF_MEMORY: Final = re.compile(
    r"bfc_arena|out ?of ?memory|failed to allocate|bad_alloc|bad allocation|alloc(ation)?_failed", re.IGNORECASE
)

_arena_lock = threading.Lock()
_arena_limits: list[int] = []


class OrtSession:
    """A network loaded by ONNX Runtime; a `common.ports.ModelSession`.

    Args:
        session: the network.
        bind_on: its device, where the memory of its inputs is to be used again; None: plain runs.
    """

    def __init__(self, session: ort.InferenceSession, *, bind_on: Device | None = None) -> None:
        self._session = session
        self._inputs: tuple[Port, ...] = tuple((port.name, tuple(port.shape)) for port in session.get_inputs())
        self._outputs: tuple[Port, ...] = tuple((port.name, tuple(port.shape)) for port in session.get_outputs())
        self._names = [name for name, _ in self._outputs]
        self._bound = None if bind_on is None else BoundRuns(session, bind_on, self._names)

    @property
    def inputs(self) -> Sequence[Port]:
        """Name and shape of each input; a string or None is a dynamic axis."""
        return self._inputs

    @property
    def outputs(self) -> Sequence[Port]:
        """Name and shape of each output."""
        return self._outputs

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """One run; thread-safe, and without the interpreter lock while it computes.

        Raises:
            TransientError: its memory was used up, by this run and those beside it.
        """
        try:
            if self._bound is not None:
                return self._bound.run(feeds)
            arrays: list[npt.NDArray[Any]] = self._session.run(self._names, dict(feeds))
        except Exception as error:
            if _OUT_OF_MEMORY.search(str(error)):
                raise TransientError(
                    "A run of the network did not fit into its memory; raise MEMORY_LIMIT_BYTES of the stage, or "
                    f"lower its BATCH_SIZE or THREADS. {str(error).strip()}"
                ) from error
            raise
        return arrays

    def end_profile(self) -> list[dict[str, Any]]:
        """Events since a session was loaded with `profile`, which ends here; the file is removed."""
        path = Path(self._session.end_profiling())
        try:
            events: list[dict[str, Any]] = json.loads(path.read_bytes())
        finally:
            path.unlink(missing_ok=True)
        return events


def load_session(
    path: Path,
    *,
    device: str = "cpu",
    intra_op_threads: int = 1,
    memory_limit_bytes: int = 0,
    profile: bool = False,
    bind: bool = False,
    build: EngineBuild | None = None,
) -> OrtSession:
    """Load a network on one device.

    Args:
        path: the ONNX file.
        device: see `Device.parse`. Call after a fork, never before one.
        intra_op_threads: threads of one run, the caller's included; one run uses no others.
        memory_limit_bytes: most memory of weights and runs; on a CPU of all networks of the process together, where
            the first network's limit holds; 0 means no limit.
        profile: record every kernel until `end_profile`.
        bind: keep the memory of inputs for the next run of the same shape: for few shapes that come again, on an
            accelerator. On a CPU a plain run reads the caller's array where it lies.
        build: how TensorRT builds the engine.

    Raises:
        ConfigurationError: the file cannot be loaded, or an accelerator was asked for and is not what runs it, or half
            precision where nothing can be told so.
    """
    where = Device.parse(device)
    if build is not None and build.is_half and where.kind != "tensorrt":
        raise ConfigurationError(
            f"PRECISION=float16 is for TensorRT; on {where} a network computes in the numbers of its file. Set the "
            "device to tensorrt:0, or PRECISION to float32 and install a pack of float16 files"
        )
    ort.disable_telemetry_events()
    _share_cpu_arena(memory_limit_bytes if where.is_cpu else 0)
    engine = build.options(declared_inputs(path)) if where.kind == "tensorrt" and build is not None else {}
    providers = _providers(where, memory_limit_bytes, engine)
    options = _session_options(intra_op_threads)
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(tempfile.gettempdir()) / f"facepipe-{uuid.uuid4().hex}")
    try:
        session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime has no narrower base
        raise ConfigurationError(f"{path} cannot be loaded on {where}: {error}") from error
    active = session.get_providers()
    if where.providers[0] not in active:
        raise ConfigurationError(
            f"{path} was to run on {where}, but ONNX Runtime activated only {', '.join(active)}: a library of "
            f"{_LIBRARIES[where.kind]} or the driver could not be loaded (its own log above says which). Repair that, "
            "or set the device to cpu"
        )
    return OrtSession(session, bind_on=where if bind else None)


_LIBRARIES: Final = {"cpu": "ONNX Runtime", "cuda": "CUDA, cuDNN", "tensorrt": "TensorRT, CUDA, cuDNN"}


def _share_cpu_arena(limit_bytes: int) -> None:
    """Give all networks of this process one CPU arena that grows by what is needed, not to the next power of two."""
    with _arena_lock:
        if _arena_limits:
            return
        memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        same_as_requested, default = 1, -1
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(limit_bytes, same_as_requested, default, default))
        _arena_limits.append(limit_bytes)


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


def declared_inputs(path: Path) -> Sequence[Port]:
    """Inputs as the graph declares them, without preparing it for any run."""
    options = _session_options(1)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), options, providers=[CPU_PROVIDER])
    except Exception as error:  # ONNX Runtime has no narrower base
        raise ConfigurationError(f"{path} cannot be loaded: {error}") from error
    return OrtSession(session).inputs


def _providers(
    device: Device, memory_limit_bytes: int, engine: Mapping[str, str]
) -> list[str | tuple[str, dict[str, str]]]:
    if device.is_cpu:
        return [CPU_PROVIDER]
    available = ort.get_available_providers()
    if device.providers[0] not in available:
        raise ConfigurationError(
            f"{device} was asked for, but the installed onnxruntime {ort.__version__} has only {', '.join(available)}; "
            "install onnxruntime-gpu (locks/gpu.txt) in place of onnxruntime, or set the device to cpu"
        )
    ort.preload_dlls()
    limit = {"gpu_mem_limit": str(memory_limit_bytes)} if memory_limit_bytes else {}
    options = {
        CUDA_PROVIDER: {
            "device_id": str(device.index),
            # Grow by what is needed instead of to the next power of two: several pools share a card.
            "arena_extend_strategy": "kSameAsRequested",
            # An exhaustive search would be repeated for every new batch size.
            "cudnn_conv_algo_search": "HEURISTIC",
            **limit,
        },
        TENSORRT_PROVIDER: {
            "device_id": str(device.index),
            **({"trt_max_workspace_size": str(memory_limit_bytes)} if memory_limit_bytes else {}),
            **engine,
        },
    }
    return [*((provider, options[provider]) for provider in device.providers), CPU_PROVIDER]
