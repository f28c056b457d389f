"""One child process: its own process group, a log file, and no life after its parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Make orphans of our children our own children, so that `kill_orphans` can find every one of them."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(parent: int) -> bool:
    """Have this very process asked to end (SIGTERM) when the one that started it ends.

    Args:
        parent: id of the process that started this one.

    Returns:
        False: it ended already.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    return os.getppid() == parent


def children_of(pid: int) -> list[int]:
    """Ids of the direct children of a process, zombies included."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


def kill_orphans(keep: Collection[int] = ()) -> int:
    """Kill and reap every child of this process except those in `keep`; returns how many there were.

    After `adopt_orphans` these are the processes that children which ended have left behind.
    """
    killed = 0
    while orphans := [pid for pid in children_of(os.getpid()) if pid not in keep]:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                killed += 1
    return killed


class Child:
    """A running program. Start it from the main thread: its life is tied to the thread that started it.

    Args:
        argv: program and arguments.
        log: file that gets stdout and stderr, appended to.
        env: whole environment of the child.
        cwd: its working directory.
        uid_gid: become this user and group first; only root may.
        death_signal: what the kernel sends the child when we die, whatever kills us.
    Raises:
        OSError: the program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        uid_gid: tuple[int, int] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log = log
        self._group_is_dead = False
        self.started_at = time.monotonic()
        self._log_start = log.stat().st_size if log.exists() else 0
        uid, gid = uid_gid or (None, None)
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=[] if uid_gid else None,
                preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509 - runs before any thread of ours exists
            )

    @property
    def pid(self) -> int:
        """Process id, also the id of its process group."""
        return self._process.pid

    def returncode(self) -> int | None:
        """Exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Tell the process itself; its own children are its business."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def kill_group(self) -> None:
        """End the process and whatever it started, at once; once only, for ids are used again."""
        if self._group_is_dead:
            return
        self._group_is_dead = True
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            self._process.kill()

    def stop(self, *, first: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
        """Ask with `first`, wait, then kill the whole group."""
        self.send(first)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.kill_group()
        self._process.wait()

    def wait(self) -> int:
        """Wait for its end; returns its exit status."""
        return self._process.wait()

    def last_lines(self, count: int = 12) -> list[str]:
        """The end of what it logged since it was started."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, size - 16_384))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def _die_with_parent(number: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()
    prctl = _libc.prctl

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return arm
