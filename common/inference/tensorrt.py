"""What TensorRT is told of a network before it builds an engine, and where engines wait for the next start.

An engine is good for a range of shapes. Left alone, ONNX Runtime builds another one, for minutes, whenever a run is
larger or smaller than all before it.
"""

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from common.errors import ConfigurationError

Port = tuple[str, tuple[int | str | None, ...]]

_LIBRARIES: Final = ("onnxruntime-gpu", "tensorrt")


@dataclass(frozen=True, slots=True)
class EngineBuild:
    """How the engine of one network is built.

    Attributes:
        rows: shapes of one row of the network's only input; empty: the shapes of its runs are not known beforehand.
        batch_size: rows of one run at most.
        is_half: whether layers may compute in float16.
        cache: folder of this network's engines, see `folder_of`; None: they are built anew at every start.
    """

    rows: Sequence[tuple[int, ...]] = ()
    batch_size: int = 1
    is_half: bool = False
    cache: Path | None = None

    def options(self, inputs: Sequence[Port]) -> dict[str, str]:
        """Options of ONNX Runtime's TensorRT provider.

        Args:
            inputs: name and shape of each input, as the graph declares them.
        """
        options = {"trt_fp16_enable": "1" if self.is_half else "0"}
        if self.cache is not None:
            folder = str(self.cache)
            options |= {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": folder,
            }
        return options | self._shapes(inputs)

    def _shapes(self, inputs: Sequence[Port]) -> dict[str, str]:
        """The smallest, usual and largest run, in one range; nothing where the graph leaves no axis open."""
        if not self.rows or len(inputs) != 1:
            return {}
        ((name, declared),) = inputs
        if all(isinstance(axis, int) for axis in declared) or any(len(row) + 1 != len(declared) for row in self.rows):
            return {}

        def spell(rows: int, row: Sequence[int]) -> str:
            shape = [axis if isinstance(axis, int) else ours for axis, ours in zip(declared, (rows, *row), strict=True)]
            return f"{name}:" + "x".join(map(str, shape))

        return {
            "trt_profile_min_shapes": spell(1, [min(axis) for axis in zip(*self.rows, strict=True)]),
            "trt_profile_opt_shapes": spell(self.batch_size, self.rows[0]),
            "trt_profile_max_shapes": spell(self.batch_size, [max(axis) for axis in zip(*self.rows, strict=True)]),
        }


def folder_of(cache: Path, network: Path) -> Path:
    """Folder of one network's engines; it need not exist.

    ONNX Runtime finds an engine by the names in the graph: with other weights, or after an upgrade, it would take the
    old one. Another file, and another version of the libraries, thus have another folder.

    Args:
        cache: folder for all of them.
        network: the ONNX file.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        with network.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{network} cannot be loaded: {error.strerror}") from error
    versions = [f"{name}-{found}" for name in _LIBRARIES if (found := _version_of(name))]
    return cache / "-".join([network.stem, digest[:16], *versions])


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@contextmanager
def building_alone(cache: Path | None) -> Iterator[None]:
    """While it lasts no other process builds engines into that folder; those that wait find them built.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    if cache is None:
        yield
        return
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "building.lock").open("a")
    except OSError as error:
        raise ConfigurationError(
            f"TensorRT's engines are to be kept in {cache}, which cannot be written: {error.strerror}. Give this user "
            "the folder, or set FACEPIPE_HOME to another one"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
