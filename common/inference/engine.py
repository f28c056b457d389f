"""The networks of one process: loaded, proved, and run for all its threads.

engine = Engine(settings.detect)
detectors = engine.load(path, build_detector, row=(3, 640, 640), batch_size=16)
detectors.lane(urgent=False).detect(…)
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from common.errors import ConfigurationError
from common.inference.audit import audit_profile
from common.inference.batching import Batcher, LaneSession
from common.inference.devices import Device
from common.inference.ort import OrtSession, load_session
from common.inference.tensorrt import EngineBuild, building_alone, folder_of
from common.inference.warm_up import WarmSession, warm_up
from common.ports import ModelSession
from common.settings import InferenceSettings

log = logging.getLogger("facepipe.inference")

Model = TypeVar("Model")

Row = tuple[int, ...]
"""Shape of one row of an input."""


@dataclass(frozen=True, slots=True)
class Lanes(Generic[Model]):
    """One network, as bulk work and as interactive calls use it.

    Attributes:
        bulk, urgent: the same model; what runs through `urgent` goes first.
        batch_size: rows that share a run at most.
    """

    bulk: Model
    urgent: Model
    batch_size: int = 1

    def lane(self, *, urgent: bool) -> Model:
        """One of them."""
        return self.urgent if urgent else self.bulk


class Engine:
    """See the module; thread-safe. Make one a process, after any fork.

    Args:
        settings: of the pool.
        count: wraps every network, to count its runs.
        cache: folder in which TensorRT's engines wait for the next start; None: they are built at every start.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        *,
        count: Callable[[ModelSession], ModelSession] = lambda session: session,
        cache: Path | None = None,
    ) -> None:
        self._settings = settings
        self._device = Device.parse(settings.device)
        self._count = count
        self._cache = cache if self._device.kind == "tensorrt" else None

    def load(self, path: Path, build: Callable[[ModelSession], Model], *, row: Row, batch_size: int) -> Lanes[Model]:
        """Load a network whose rows all have one shape; see `load_each`."""
        return self.load_each(path, lambda session, _: build(session), rows=[row], batch_size=batch_size)[row]

    def load_each(
        self,
        path: Path,
        build: Callable[[ModelSession, Row], Model],
        *,
        rows: Sequence[Row],
        batch_size: int,
        by_memory: bool = False,
    ) -> dict[Row, Lanes[Model]]:
        """Load a network, warm it up at each shape of its rows, and prove that it is where it should be.

        Args:
            path: the ONNX file.
            build: makes the model of one shape from the network, and refuses one whose declared shapes are not its
                own. It is called first with the shapes that the graph declares, then with those that the runs gave.
            rows: shapes of one row of the input, such as (3, 112, 112). The first must do; others are left out where
                the model refuses them, as that of a graph with fixed sides does.
            batch_size: rows of one run at most.
            by_memory: whether that is only an upper bound: of the powers of two up to it the largest is taken whose
                run fits into the memory, for each shape.

        Raises:
            ConfigurationError: the file cannot be loaded or run, is no such model, or an accelerator that was asked
                for does not do all of the work; or the precision is none that the device can be told.
        """
        started = time.perf_counter()
        device = self._device
        cache = None if self._cache is None else folder_of(self._cache, path)
        with building_alone(cache):
            session = self._open(path, rows, batch_size, cache)
            if not device.is_cpu:
                log.info("%s is warmed up on %s; TensorRT takes minutes once, CUDA seconds", path.name, device)
            try:
                build(session, rows[0])
                fitting = [rows[0], *(row for row in rows[1:] if _is_taken(build, session, row))]
                warm = {row: _warm_up(session, row, batch_size, device, path, by_memory=by_memory) for row in fitting}
            finally:
                events = [] if device.is_cpu else session.end_profile()
        if not device.is_cpu:
            audit_profile(events, device.providers, name=str(path))
        log.info(
            "%s runs on %s, %s rows a run at most%s, ready after %.1f s",
            path.name,
            device,
            " to ".join(str(size) for size in sorted({one.batch_size for one in warm.values()})),
            ", as its memory allows" if by_memory else "",
            time.perf_counter() - started,
        )
        return {row: self._lanes(one, _of_shape(build, row)) for row, one in warm.items()}

    def _open(self, path: Path, rows: Sequence[Row], batch_size: int, cache: Path | None) -> OrtSession:
        settings = self._settings
        return load_session(
            path,
            device=settings.device,
            intra_op_threads=settings.intra_op_threads,
            memory_limit_bytes=settings.memory_limit_bytes,
            profile=not self._device.is_cpu,
            bind=not self._device.is_cpu,
            build=EngineBuild(rows, batch_size, is_half=settings.precision == "float16", cache=cache),
        )

    def _lanes(self, warm: WarmSession, build: Callable[[ModelSession], Model]) -> Lanes[Model]:
        batcher = Batcher(
            self._count(warm),
            batch_size=warm.batch_size,
            runs=self._settings.runs_side_by_side,
            max_wait_s=self._settings.max_wait_ms / 1000,
        )
        bulk, urgent = (build(LaneSession(batcher, urgent=urgent)) for urgent in (False, True))
        return Lanes(bulk, urgent, warm.batch_size)


def _of_shape(build: Callable[[ModelSession, Row], Model], row: Row) -> Callable[[ModelSession], Model]:
    return lambda session: build(session, row)


def _is_taken(build: Callable[[ModelSession, Row], Model], session: ModelSession, row: Row) -> bool:
    try:
        build(session, row)
    except ConfigurationError:
        return False
    return True


def _warm_up(
    session: ModelSession, row: Row, batch_size: int, device: Device, path: Path, *, by_memory: bool
) -> WarmSession:
    shapes = [shape for _, shape in session.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 1 + len(row) or (isinstance(shapes[0][0], int) and shapes[0][0] != 1):
        raise ConfigurationError(
            f"{path} takes {shapes}, not one input of rows of {tuple(row)}; export it with an open batch axis"
        )
    return warm_up(session, row, batch_size=batch_size, device=device, name=str(path), by_memory=by_memory)
