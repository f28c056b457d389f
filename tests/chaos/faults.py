"""What is done to a stack, and how it recovers."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from common.contracts import STAGES
from tests.chaos.house import CAPACITY_BYTES, House


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a fault ended.

    Attributes:
        fault: key of `FAULTS`.
        hit: what it hit, in words.
        noticed_s: from the fault until the stack knew of it; None where nothing has to be noticed.
        recovered_s: from the fault until the work that it hit ran again, or the program answered again.
    """

    fault: str
    hit: str
    noticed_s: float | None
    recovered_s: float


def kill_worker(house: House, stage: str) -> Recovery:
    """SIGKILL the process of a pool while it works; recovered when the last of its segments runs again."""
    pid, held = house.freeze_at_work(stage)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    house.wait(lambda: all(map(house.is_given_up, held)), f"the leases of {held} to run out")
    noticed_s = time.monotonic() - began
    house.wait(lambda: all(map(house.runs_again, held)), f"{held} to run again")
    segments = f"{len(held)} step{'s' if len(held) != 1 else ''}"
    return Recovery(f"kill {stage}", segments, noticed_s, time.monotonic() - began)


def kill_program(house: House, name: str, part: str) -> Recovery:
    """SIGKILL a program that the launcher starts again; recovered when the stack is ready with the new one."""
    house.wait(lambda: house.pid_of(part) is not None, f"{name} to run")
    victim = house.stack.pid_of(part)
    before = set(house.stack.processes())  # children of the victim, which the launcher inherits, are no replacement
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)

    def is_replaced() -> bool:
        pid = house.pid_of(part)
        return pid is not None and pid not in before and house.is_ready()

    house.wait(is_replaced, f"{name} to be started again")
    return Recovery(f"kill {name}", f"process {victim}", None, time.monotonic() - began)


def lose_broker(house: House) -> Recovery:
    """Empty Redis, and kill it."""
    house.wipe_broker()
    recovery = kill_program(house, "redis", "redis-server")
    return Recovery("lose redis", "all of its data", None, recovery.recovered_s)


def fill_frames(house: House) -> Recovery:
    """Take half of the frame store for nobody; recovered when the sweeper has freed it."""
    began = time.monotonic()
    size = CAPACITY_BYTES // 2
    writer = house.frames.create("nobody", {"bytes": ("|u1", (size,))}, urgent=True, wait=lambda: None)
    writer.arrays["bytes"][...] = np.uint8(0)
    writer.commit()
    house.wait(lambda: "nobody" not in set(house.frames.keys()), "the sweeper")
    return Recovery("fill frames", f"{size >> 20} MiB", None, time.monotonic() - began)


def deliver_twice(house: House) -> Recovery:
    """Publish every message that is under way once more."""
    began = time.monotonic()
    count = house.publish_again()
    return Recovery("deliver twice", f"{count} messages", None, time.monotonic() - began)


FAULTS: dict[str, Callable[[House], Recovery]] = {
    **{f"kill {stage}": partial(kill_worker, stage=stage) for stage in STAGES},
    "kill api": partial(kill_program, name="api", part="gunicorn"),
    "kill housekeeping": partial(kill_program, name="housekeeping", part="workers.housekeeping"),
    "kill database": partial(kill_program, name="database", part="bin/postgres"),
    "lose redis": lose_broker,
    "deliver twice": deliver_twice,
    "fill frames": fill_frames,
}
"""Every kind of fault, by name."""

SHORT = (
    *(f"kill {stage}" for stage in STAGES),
    "kill api",
    "kill housekeeping",
    "kill database",
    "lose redis",
    "deliver twice",
)
"""Each of them that needs no minute, once."""
