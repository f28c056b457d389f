"""Counts what this process does, until the heartbeat stores it."""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from common.metric_names import CounterName
from common.ports import ModelSession
from common.store.counters import Counters, Counts
from common.types import Arrays


class Meter:
    """Thread-safe; what could not be stored is kept for the next time.

    Args:
        counters: where it is stored.
        stage: whose work is counted here.
    """

    def __init__(self, counters: Counters, stage: str) -> None:
        self._counters = counters
        self._stage = stage
        self._lock = threading.Lock()
        self._counts: Counter[tuple[CounterName, str]] = Counter()

    def count(self, name: CounterName, value: float = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name, self._stage] += value  # type: ignore[assignment]  # floats add up as well

    def store(self) -> None:
        """Move what was counted to the database. Raises TransientError, and forgets nothing then."""
        with self._lock:
            taken: Counts = self._counts
            self._counts = Counter()
        try:
            self._counters.add(taken)
        except Exception:
            with self._lock:
                self._counts.update(taken)
            raise


class MeteredSession:
    """A network whose runs are counted; a `common.ports.ModelSession`.

    Args:
        session: the network.
        meter: counts its runs, and the rows of its first input; a run that fails is none.
    """

    def __init__(self, session: ModelSession, meter: Meter) -> None:
        self._session = session
        self._meter = meter

    @property
    def inputs(self) -> Sequence[tuple[str, tuple[int | str | None, ...]]]:
        """See the port."""
        return self._session.inputs

    @property
    def outputs(self) -> Sequence[tuple[str, tuple[int | str | None, ...]]]:
        """See the port."""
        return self._session.outputs

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """See the port."""
        outputs = self._session.run(feeds)
        self._meter.count("model_runs")
        self._meter.count("model_items", len(next(iter(feeds.values()))))
        return outputs
