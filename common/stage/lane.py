"""The lane of interactive calls in a pool process: threads that do nothing else."""

import logging
import threading
import time
from contextlib import nullcontext

from common.calls import CallDesk, Lane
from common.errors import TransientError
from common.stage.courtesy import Courtesy
from common.stage.runner import Handler

log = logging.getLogger("facepipe.lane")

_WAIT_S = 1.0


class CallLane:
    """Takes calls of one stage and works on them, beside whatever the pool is busy with.

    Args:
        desk: where calls come from.
        lane: the lane that is served.
        handler: the stage's task, which also answers.
        threads: calls worked on side by side.
        courtesy: of the process, whose steps give way to these calls; None: they do not.
    """

    def __init__(
        self, desk: CallDesk, lane: Lane, handler: Handler, *, threads: int, courtesy: Courtesy | None = None
    ) -> None:
        self._desk = desk
        self._courtesy = courtesy
        self._lane = lane
        self._handler = handler
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"calls-{i}", daemon=True) for i in range(threads)]

    def start(self) -> None:
        """Begin to take calls."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more, and wait for those under way."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5 * _WAIT_S)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                wire = self._desk.take(self._lane, _WAIT_S)
                if wire is not None:
                    with nullcontext() if self._courtesy is None else self._courtesy.in_front():
                        self._handler(wire)
            except TransientError as error:
                log.warning("no calls can be taken: %s", error)
                time.sleep(_WAIT_S)
            except Exception:
                log.exception("a call was lost")
