"""The heartbeat of a worker process: says that it lives and keeps the leases of what it works on."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from common.contracts import StepRef
from common.errors import CancelledError, TransientError
from common.settings import LeaseSettings
from common.stage.courtesy import Courtesy
from common.store.steps import Steps, superseded

log = logging.getLogger("facepipe.heart")


class Hold:
    """Steps that one thread works on.

    `check` is cheap; long work calls it between batches, since threads cannot be stopped from outside.
    """

    def __init__(self, refs: Sequence[StepRef], deadline: float, courtesy: Courtesy) -> None:
        self.refs = list(refs)
        self._courtesy = courtesy
        self.lost: set[StepRef] = set()
        self._deadline = deadline

    def check(self) -> None:
        """Let calls go first. Raises CancelledError when the work is no longer wanted or took too long."""
        self._courtesy.give_way()
        if self.lost:
            raise superseded(next(iter(self.lost)))
        if time.monotonic() > self._deadline:
            raise CancelledError(f"{self.refs[0].key} exceeded its time limit; its lease is given up.")

    def drop(self, ref: StepRef) -> None:
        """`ref` was handed over or settled; the others are kept."""
        self.refs = [mine for mine in self.refs if mine != ref]

    def is_overdue(self) -> bool:
        """Past the time limit: the lease is left to expire, so that the step counts as dead."""
        return time.monotonic() > self._deadline


class Heart:
    """Beats in a thread of its own while the process lives.

    Args:
        steps: extends the leases.
        announce: tells the database that this worker lives.
        lease: how often to beat.
        courtesy: of the process; steps give way to its calls.
    """

    def __init__(self, steps: Steps, announce: Callable[[], None], lease: LeaseSettings, courtesy: Courtesy) -> None:
        self._steps = steps
        self._courtesy = courtesy
        self._announce = announce
        self._lease = lease
        self._holds: set[Hold] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def start(self) -> None:
        """Begin to beat; the first beat is at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    @contextmanager
    def hold(self, refs: Sequence[StepRef]) -> Iterator[Hold]:
        """Keep the leases of `refs` alive inside the `with`."""
        hold = Hold(refs, time.monotonic() + self._lease.step_timeout_s, self._courtesy)
        with self._lock:
            self._holds.add(hold)
        try:
            yield hold
        finally:
            with self._lock:
                self._holds.discard(hold)

    def _beat(self) -> None:
        while True:
            try:
                self._renew()
                self._announce()
            except TransientError as error:
                log.warning("heartbeat failed, leases may expire: %s", error)
            except Exception:
                log.exception("heartbeat failed")
            if self._stop.wait(self._lease.heartbeat_s):
                return

    def _renew(self) -> None:
        with self._lock:
            holds = {hold: list(hold.refs) for hold in self._holds if not hold.is_overdue()}
        ours = self._steps.keep_alive([ref for refs in holds.values() for ref in refs])
        for hold, refs in holds.items():
            for ref in refs:
                if ref not in ours and ref in hold.refs:
                    hold.lost.add(ref)
