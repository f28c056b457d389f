"""A launched stack under chaos, and what can be seen of it from below: processes, steps, frames, blobs."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import redis

from common.blobs.files import FileBlobStore
from common.celery_app import Dispatcher, make_celery
from common.contracts import STAGE_TASKS, TASK_FINISH, TASK_PLAN, Message, Priority, StepKind, StepRef
from common.errors import TransientError
from common.frames.files import FileFrameStore
from common.settings import LeaseSettings
from common.store.database import Cursor, Database
from common.store.recording import read_options
from common.store.schedule import Schedule
from facepipe import Client
from tests.acceptance.conftest import LaunchedStack
from workers.housekeeping.sweeper import Sweeper

CAPACITY_BYTES = 64 << 20
"""Room for two segments of the largest medium: decode waits for the pools behind it all the time."""

_PATIENCE_S = 120.0
_POLL_S = 0.02
_LONG_AGO_S = 48 * 3600.0


class House:
    """See the module.

    Args:
        folder: everything of the run lies below it.
    """

    def __init__(self, folder: Path) -> None:
        self.frames = FileFrameStore(folder / "frames", CAPACITY_BYTES)
        settings = {
            "FACEPIPE_LEASE__LEASE_S": "3",
            "FACEPIPE_LEASE__HEARTBEAT_S": "0.5",
            # a step may be hit by several faults and is innocent of all of them
            "FACEPIPE_LEASE__MAX_DEATHS": "50",
            "FACEPIPE_LEASE__MAX_ATTEMPTS": "50",
            "FACEPIPE_DECODE__SEGMENT_FRAMES": "8",
            "FACEPIPE_FRAMES__DIRECTORY": str(folder / "frames"),
            "FACEPIPE_FRAMES__CAPACITY_BYTES": str(CAPACITY_BYTES),
        }
        self.stack = LaunchedStack(folder / "home", settings).wait_until_ready()
        self.database = Database(self.stack.state["database_url"], application="facepipe chaos")
        self.blobs = FileBlobStore(self.stack.home / "blobs")
        self.client = Client(self.stack.url)

    def close(self) -> None:
        """Stop everything."""
        self.client.close()
        self.database.close()
        self.stack.stop()

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """Until `condition` holds; gives how many seconds that took.

        An absent database counts as not yet. Raises TimeoutError, which says what was waited for.
        """
        began = time.monotonic()
        while not self._holds(condition):
            if time.monotonic() - began > _PATIENCE_S:
                raise TimeoutError(f"not within {_PATIENCE_S:.0f} s: {what}. {self.stack.describe()}")
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def read(self, ask: Callable[[Cursor], None]) -> list[dict[str, object]]:
        """Rows of one query."""
        with self.database.transaction() as cursor:
            ask(cursor)
            return [dict(row) for row in cursor.fetchall()]

    def is_ready(self) -> bool:
        """Whether the API says that everything is there."""
        try:
            return httpx.get(f"{self.stack.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def pid_of(self, part: str) -> int | None:
        """The process of the stack whose command line has `part`; None while there is none."""
        try:
            return self.stack.pid_of(part)
        except AssertionError:
            return None

    def freeze_at_work(self, stage: str) -> tuple[int, list[StepRef]]:
        """Stop the worker process of a pool (SIGSTOP) at a moment at which it works; gives what it works on."""
        found: list[tuple[int, list[StepRef]]] = []

        def caught() -> bool:
            pid = self.pid_of(f"-Q {stage} ")
            if pid is None:
                return False
            os.kill(pid, signal.SIGSTOP)
            held = self._held_by(pid)
            if held:
                found.append((pid, held))
            else:
                os.kill(pid, signal.SIGCONT)
            return bool(held)

        self.wait(caught, f"a worker of {stage} at work")
        return found[0]

    def is_given_up(self, ref: StepRef) -> bool:
        """Whether the lease of this attempt is over."""
        row = self._step(ref)
        return row is None or row["attempt"] != ref.attempt or row["state"] != "running"

    def runs_again(self, ref: StepRef) -> bool:
        """Whether a newer attempt is being worked on, or has been; or the worker's last commit had ended the step.

        The database goes on with what it was sent by a process that is stopped.
        """
        row = self._step(ref)
        if row is None or row["state"] == "done":
            return True
        return row["attempt"] != ref.attempt and row["state"] not in {"pending", "sent"} and not row["waiting"]

    def publish_again(self) -> int:
        """Deliver every message that is in a queue or being worked on once more; gives how many."""
        rows = self.read(
            lambda cursor: cursor.execute(
                "select s.job_id, s.kind, s.ordinal, s.attempt, s.stage, j.options, j.blob_key, j.priority"
                " from steps s join jobs j on j.id = s.job_id where s.state in ('sent', 'running')"
            )
        )
        dispatcher = Dispatcher(make_celery(self.stack.state["redis_url"]))
        for row in rows:
            ref = StepRef(
                str(row["job_id"]), StepKind(str(row["kind"])), int(str(row["ordinal"])), _int(row, "attempt")
            )
            tasks = {StepKind.PLAN: TASK_PLAN, StepKind.FINISH: TASK_FINISH}
            task = tasks.get(ref.kind) or STAGE_TASKS[row["stage"]]  # type: ignore[index]
            message = Message(ref, read_options(row["options"]), str(row["blob_key"]), Priority(_int(row, "priority")))  # type: ignore[arg-type]
            dispatcher.send(task, message)
        return len(rows)

    def wipe_broker(self) -> None:
        """Empty Redis, as it would be after a crash."""
        with redis.Redis.from_url(self.stack.state["redis_url"]) as client:
            client.flushall()

    def leftovers(self) -> list[str]:
        """Whatever final jobs have left behind that housekeeping does not remove: leases, frames, blobs."""
        self.wait(lambda: not list(self.frames.keys()), "an empty frame store")
        rows = self.read(
            lambda cursor: cursor.execute(
                "select job_id, kind, ordinal, state from steps where state in ('pending', 'sent', 'running')"
                " or lease_until is not null or worker is not null"
            )
        )
        found = [f"step {row['job_id']}.{row['kind']}.{row['ordinal']} is {row['state']}" for row in rows]
        return found + self._left_blobs()

    def _left_blobs(self) -> list[str]:
        root = self.stack.home / "blobs"
        then = time.time() - _LONG_AGO_S
        for path in root.rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))
        states = {
            str(row["id"]): str(row["state"]) for row in self.read(lambda c: c.execute("select id, state from jobs"))
        }
        schedule = Schedule(self.database, LeaseSettings(), span_segments=1)
        sweeper = Sweeper(
            schedule,
            self.frames,
            self.blobs,
            missing_jobs=schedule.missing_jobs,
            unused_crops=schedule.unused_crops,
            spent_media=schedule.spent_media,
        )
        sweeper.sweep_blobs()
        found = [f"blob {path.name}" for path in (root / "incoming").iterdir()]
        for key, _ in self.blobs.list("jobs"):
            _, job_id, name = key.split("/", 2)
            if job_id not in states or (name == "media" and states[job_id] == "succeeded"):
                found.append(f"blob {key} of a job that is {states.get(job_id, 'gone')}")
        return found

    def _held_by(self, pid: int) -> list[StepRef]:
        try:
            rows = self.read(
                lambda cursor: cursor.execute(
                    "select job_id, kind, ordinal, attempt from steps where state = 'running' and not waiting"
                    " and worker like %s",
                    (f"%.{pid}",),
                )
            )
        except TransientError:
            return []
        return [
            StepRef(str(row["job_id"]), StepKind(str(row["kind"])), _int(row, "ordinal"), _int(row, "attempt"))
            for row in rows
        ]

    def _step(self, ref: StepRef) -> dict[str, object] | None:
        rows = self.read(
            lambda cursor: cursor.execute(
                "select state, attempt, waiting from steps where job_id = %s and kind = %s and ordinal = %s",
                (ref.job_id, str(ref.kind), ref.ordinal),
            )
        )
        return rows[0] if rows else None

    @staticmethod
    def _holds(condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except TransientError:
            return False


def _int(row: dict[str, object], name: str) -> int:
    value = row[name]
    assert isinstance(value, int)
    return value
