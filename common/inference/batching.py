"""Joins what several threads ask of one network into few, large runs.

There is no thread of its own: whoever asks while the network is free runs it, in its own thread and at once; whoever
asks while it is busy waits asleep, and the first of them then runs it for all. So nothing has to be shut down, and who
is alone pays nothing. Submissions are served in the order they came, those of interactive calls first; a run holds
either calls or bulk work, so that no call waits for more than the run under way.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.errors import TransientError
from common.ports import ModelSession
from common.types import Arrays

Outputs = list[npt.NDArray[Any]]
Shape = tuple[tuple[str, tuple[int, ...], str], ...]

_BULK: Final = False
_URGENT: Final = True


@dataclass(eq=False, slots=True)
class _Submission:
    """What one thread asks for, and what becomes of it. `leads` says, once woken, whether to run it or to go home."""

    feeds: Arrays
    rows: int
    shape: Shape
    urgent: bool
    thread: int
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    outputs: Outputs | None = None
    error: BaseException | None = None


class Batcher:
    """Runs a network for many threads.

    Rows of a run must not depend on one another; see `common.inference.warm_up`.

    Args:
        session: the network.
        batch_size: rows of one run at most.
        runs: runs side by side at most; None: every thread runs what it brought, at once.
        max_wait_s: how long a free network waits for the threads that the runs before served and that have not come
            back, to join what they bring. Counted from the end of their run; calls never wait.
    """

    def __init__(self, session: ModelSession, *, batch_size: int, runs: int | None, max_wait_s: float = 0.0) -> None:
        self._session = session
        self._batch_size = batch_size
        self._is_direct = runs is None
        self._free = runs or 0
        self._max_wait_s = max_wait_s
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._waiting: Mapping[bool, deque[_Submission]] = {_BULK: deque(), _URGENT: deque()}
        self._expected: dict[int, float] = {}

    @property
    def session(self) -> ModelSession:
        """The network."""
        return self._session

    def run(self, feeds: Arrays, *, urgent: bool) -> Outputs:
        """Outputs of `feeds`, as a run of them alone would give; blocks.

        Args:
            feeds: arrays of equally many rows; they are not changed and must not change meanwhile.
            urgent: somebody waits for the answer.

        Raises:
            Exception: what the run of these rows raises. A run that fails is repeated in halves, so rows of others
                are at fault for nothing, and what only did not fit in one run is given in several.
        """
        rows = len(next(iter(feeds.values())))
        if rows <= self._batch_size:
            return self._run(feeds, rows, urgent)
        parts = [
            self._run(_rows(feeds, start, start + self._batch_size), min(self._batch_size, rows - start), urgent)
            for start in range(0, rows, self._batch_size)
        ]
        return _join(parts)

    def _run(self, feeds: Arrays, rows: int, urgent: bool) -> Outputs:
        if self._is_direct:
            return self._run_alone(feeds, rows)
        shape = tuple((name, array.shape[1:], array.dtype.str) for name, array in feeds.items())
        mine = _Submission(feeds, rows, shape, urgent, threading.get_ident())
        with self._lock:
            self._expected.pop(mine.thread, None)
            self._waiting[urgent].append(mine)
            self._promote()
            self._arrived.notify_all()
        while True:
            mine.woken.wait()
            if not mine.leads or self._lead(mine):
                break
        if mine.error is not None:
            raise mine.error
        return mine.outputs or []

    def _promote(self) -> None:
        """Let the first ones waiting lead, as many as may run. Needs the lock."""
        while self._free:
            queue = self._waiting[_URGENT] or self._waiting[_BULK]
            if not queue:
                return
            self._free -= 1
            first = queue.popleft()
            first.leads = True
            first.woken.set()

    def _lead(self, mine: _Submission) -> bool:
        """Run what waits, `mine` first; False if a call came in between and goes before it."""
        with self._lock:
            if not self._gather(mine):
                mine.woken.clear()
                mine.leads = False
                self._waiting[_BULK].appendleft(mine)
                self._free += 1
                self._promote()
                return False
            batch = self._take(mine)
        try:
            self._execute(batch)
        finally:
            with self._lock:
                if self._max_wait_s and not mine.urgent:
                    until = time.monotonic() + self._max_wait_s
                    self._expected.update((one.thread, until) for one in batch)
                self._free += 1
                self._promote()
            for one in batch:
                one.leads = False
                if one.outputs is None and one.error is None:
                    one.error = TransientError("The run of a network was interrupted.")
                one.woken.set()
        return True

    def _gather(self, mine: _Submission) -> bool:
        """Wait for the company that is expected; False if a call came meanwhile. Needs the lock."""
        while not mine.urgent:
            if self._waiting[_URGENT]:
                return False
            rows = mine.rows + sum(one.rows for one in self._waiting[_BULK] if one.shape == mine.shape)
            left_s = max(self._expected.values(), default=0.0) - time.monotonic()
            if rows >= self._batch_size or left_s <= 0:
                break
            self._arrived.wait(left_s)
        return True

    def _take(self, mine: _Submission) -> list[_Submission]:
        """What shares the run of `mine`, in order. Needs the lock."""
        queue = self._waiting[mine.urgent]
        batch, rows = [mine], mine.rows
        for one in [one for one in queue if one.shape == mine.shape]:
            if rows + one.rows > self._batch_size:
                break
            queue.remove(one)
            batch.append(one)
            rows += one.rows
        return batch

    def _execute(self, batch: Sequence[_Submission]) -> None:
        """Run submissions together; if that fails, in halves, until only the guilty one fails."""
        if len(batch) == 1:
            try:
                batch[0].outputs = self._run_alone(batch[0].feeds, batch[0].rows)
            except Exception as error:  # noqa: BLE001 - its owner's thread raises it
                batch[0].error = error
            return
        try:
            outputs = self._session.run(
                {name: np.concatenate([one.feeds[name] for one in batch]) for name in batch[0].feeds}
            )
            ends = np.cumsum([one.rows for one in batch]).tolist()
            if any(len(output) != ends[-1] for output in outputs):
                raise ValueError("the outputs of a joined run have no row for each row of its inputs")
        except Exception:  # noqa: BLE001 - said again by the smaller run that is at fault
            middle = len(batch) // 2
            self._execute(batch[:middle])
            self._execute(batch[middle:])
            return
        for one, end in zip(batch, ends, strict=True):
            one.outputs = [output[end - one.rows : end] for output in outputs]

    def _run_alone(self, feeds: Arrays, rows: int) -> Outputs:
        try:
            return self._session.run(feeds)
        except Exception:
            if rows <= 1:
                raise
        middle = rows // 2
        return _join(
            [
                self._run_alone(_rows(feeds, 0, middle), middle),
                self._run_alone(_rows(feeds, middle, rows), rows - middle),
            ]
        )


class LaneSession:
    """A network as one lane of a pool sees it; a `common.ports.ModelSession`.

    Args:
        batcher: see there; it is shared by the lanes.
        urgent: whether this is the lane of interactive calls.
    """

    def __init__(self, batcher: Batcher, *, urgent: bool) -> None:
        self._batcher = batcher
        self._urgent = urgent

    @property
    def inputs(self) -> Sequence[tuple[str, tuple[int | str | None, ...]]]:
        """See the port."""
        return self._batcher.session.inputs

    @property
    def outputs(self) -> Sequence[tuple[str, tuple[int | str | None, ...]]]:
        """See the port."""
        return self._batcher.session.outputs

    def run(self, feeds: Arrays) -> Outputs:
        """See the port, and `Batcher.run`."""
        return self._batcher.run(feeds, urgent=self._urgent)


def _rows(feeds: Arrays, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
    return {name: array[start:stop] for name, array in feeds.items()}


def _join(parts: Sequence[Outputs]) -> Outputs:
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
