"""Waiting for a job to change: one listening connection and thread a process, however many wait."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager

from common.errors import TransientError
from common.store.database import Database
from common.store.jobs import CHANNEL, Jobs
from common.store.paging import Row

log = logging.getLogger("facepipe.changes")

_POLL_S = 1.0
_RECONNECT_S = 1.0


class JobChanges:
    """See the module. The thread starts with the first wait, hence after any fork.

    Args:
        database: gives the listening connection.
        jobs: reads the job that changed.
    """

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def wait(self, job_id: str, revision: int, timeout_s: float) -> Row | None:
        """The job as soon as its revision is larger than `revision`, which may be at once; None after `timeout_s`.

        Raises:
            NotFoundError: there is no such job, or no longer.
            TransientError: the database is away.
        """
        deadline = time.monotonic() + timeout_s
        with self._woken(job_id) as event:
            while True:
                event.clear()
                row = self._jobs.get(job_id)
                if row["revision"] > revision:
                    return row
                if not event.wait(max(0.0, deadline - time.monotonic())):
                    return None

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    @contextmanager
    def _woken(self, job_id: str) -> Iterator[threading.Event]:
        event = threading.Event()
        with self._lock:
            self._waiting[job_id].add(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="job-changes", daemon=True)
                self._thread.start()
        try:
            yield event
        finally:
            with self._lock:
                self._waiting[job_id].discard(event)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(self._database.session()) as session:
                    session.listen(CHANNEL)
                    self._wake_all()  # what changed before we listened
                    while not self._stop.is_set():
                        for job_id in session.notifications(_POLL_S):
                            self._wake(job_id)
            except TransientError as error:
                log.warning("cannot listen for changes of jobs: %s", error)
                self._wake_all()  # the waiting look for themselves, and are told what is wrong
                self._stop.wait(_RECONNECT_S)

    def _wake(self, job_id: str) -> None:
        with self._lock:
            for event in self._waiting.get(job_id, ()):
                event.set()

    def _wake_all(self) -> None:
        with self._lock:
            for events in self._waiting.values():
                for event in events:
                    event.set()
