"""Starts programs, starts again what ends, and leaves nothing behind at the end."""

import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from common.errors import FacepipeError
from deploy.child import Child

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
_TICK_S = 0.05


class Unit(Protocol):
    """Something that can be started as a child."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def is_server(self) -> bool:
        """Whether others need it: such are stopped last, one after the other."""

    def start(self) -> Child:
        """Start it. Raises FacepipeError or OSError when it cannot be."""

    def probe(self, child: Child) -> str | None:
        """What to tell people about it once it is ready, else None."""

    def stop(self, child: Child, *, urgent: bool) -> None:
        """Begin its end; `has_ended` tells when it is over."""


@dataclass(slots=True)
class Watched:
    """A unit and how it fares."""

    unit: Unit
    child: Child
    is_ready: bool = False
    failures: int = 0
    due_at: float | None = None  #: monotonic time of its next start, while it is down

    @property
    def is_down(self) -> bool:
        """Whether it waits for its next start."""
        return self.due_at is not None


class Supervisor:
    """See the module. Use it from the main thread only: children die with the thread that started them.

    Args:
        say: prints a line: name and what there is to say.
        sweep: ends what dead children have left behind, given the ids of the living ones.
    """

    def __init__(self, say: Callable[[str, str], None], sweep: Callable[[Collection[int]], object]) -> None:
        self._say = say
        self._sweep = sweep
        self._watched: list[Watched] = []

    def start(self, unit: Unit) -> Watched:
        """Start a unit and watch it from now on."""
        watched = Watched(unit, unit.start())
        self._watched.append(watched)
        return watched

    def all_ready(self) -> bool:
        """Probe what is not ready yet; say so of what has become ready."""
        for watched in self._watched:
            if watched.is_ready or watched.is_down:
                continue
            told = watched.unit.probe(watched.child)
            if told is not None:
                watched.is_ready = True
                self._say(watched.unit.name, told if watched.failures == 0 else f"runs again: {told}")
        return all(watched.is_ready for watched in self._watched)

    def not_ready(self) -> list[Watched]:
        """Units that have not become ready so far."""
        return [watched for watched in self._watched if not watched.is_ready]

    def ended(self) -> Watched | None:
        """A unit whose program has ended, if there is one."""
        return next((each for each in self._watched if not each.is_down and each.child.returncode() is not None), None)

    def tend(self) -> None:
        """One round: notice what ended, start again what is due, probe what is not ready."""
        for watched in self._watched:
            if watched.is_down:
                self._start_again(watched)
            elif watched.child.returncode() is not None:
                self._plan_start(watched)
        self.all_ready()

    def stop(self, *, grace_s: float, is_urgent: Callable[[], bool]) -> list[str]:
        """End everything: programs together, then the servers that they need.

        Args:
            grace_s: how long programs may take to finish what they do.
            is_urgent: asked all the time; True ends the patience.
        Returns:
            Names of units that had to be killed.
        """
        killed = []
        programs = [each for each in self._watched if not each.unit.is_server]
        servers = [each for each in reversed(self._watched) if each.unit.is_server]
        for group in (programs, *([server] for server in servers)):
            killed += self._stop_together(group, grace_s, is_urgent)
        self._sweep(())
        self._watched.clear()
        return killed

    def _stop_together(self, group: list[Watched], grace_s: float, is_urgent: Callable[[], bool]) -> list[str]:
        running = [each for each in group if each.child.returncode() is None]
        deadline = time.monotonic() + grace_s
        hurried = is_urgent()
        for each in running:
            each.unit.stop(each.child, urgent=hurried)
        while running and time.monotonic() < deadline:
            if is_urgent() and not hurried:
                hurried = True
                deadline = min(deadline, time.monotonic() + 2.0)
                for each in running:
                    each.unit.stop(each.child, urgent=True)
            time.sleep(_TICK_S)
            running = [each for each in running if each.child.returncode() is None]
        for each in group:
            each.child.kill_group()
        for each in running:
            each.child.wait()
        return [each.unit.name for each in running]

    def _plan_start(self, watched: Watched) -> None:
        if time.monotonic() - watched.child.started_at > _STEADY_S:
            watched.failures = 0
        watched.child.kill_group()
        self._sweep([each.child.pid for each in self._watched])
        ending = describe_end(watched.child.returncode())
        self._postpone(watched, f"{ending} ({(watched.child.last_lines(1) or ['it said nothing'])[0]})")

    def _start_again(self, watched: Watched) -> None:
        if watched.due_at is None or time.monotonic() < watched.due_at:
            return
        try:
            watched.child = watched.unit.start()
        except (FacepipeError, OSError) as error:
            self._postpone(watched, f"cannot be started: {error}")
        else:
            watched.due_at = None

    def _postpone(self, watched: Watched, reason: str) -> None:
        pause_s = min(_FIRST_PAUSE_S * 2**watched.failures, _LONGEST_PAUSE_S)
        watched.failures += 1
        watched.is_ready = False
        watched.due_at = time.monotonic() + pause_s
        self._say(watched.unit.name, f"{reason}; starting it again in {pause_s:g} s")


def describe_end(returncode: int | None) -> str:
    """How a program ended, in words."""
    if returncode is None:
        return "runs"
    if returncode == -signal.SIGKILL:
        return "was killed (signal 9; out of memory?)"
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with status {returncode}"
