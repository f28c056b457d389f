"""Runs one message in one stage: lease or deadline, errors, room in the frame store, and the way on.

Stages raise; only here is decided what becomes of the work: bad input is final, transient errors come again with
backoff, anything else is a defect and fails the step as `internal` with a trace in the log.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

from common.contracts import STAGE_TASKS, CallRef, Message, Stage, StepRef, WorkRef
from common.errors import (
    CancelledError,
    FacepipeError,
    OverloadedError,
    TransientError,
)
from common.stage.runtime import Runtime
from common.store.steps import MAX_PAUSE_S
from common.types import Arrays

log = logging.getLogger("facepipe.stage")

Handler = Callable[[Mapping[str, Any]], None]

_BACKOFF_S = 2.0
_SETTLE_PAUSE_S = 0.5


class Attempt:
    """What a stage may do with the work it holds."""

    def __init__(self, runtime: Runtime, message: Message, check: Callable[[], None]) -> None:
        self._runtime = runtime
        self.message = message
        self.check = check

    @property
    def is_call(self) -> bool:
        """Whether somebody waits for the answer."""
        return isinstance(self.message.ref, CallRef)

    @contextmanager
    def take(self, kind: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Read what the stage before left; it is freed at the end, whatever happens."""
        key = f"{self.message.ref.key}:{kind}"
        try:
            with self._runtime.frames.open(key) as arrays:
                yield arrays
        finally:
            self._runtime.frames.release(key)

    def put(self, kind: str, arrays: Arrays) -> None:
        """Leave arrays for the next stage.

        What the stages behind decode leave is always urgent: frames that wait for a pool fill all other room, and must
        never keep that pool from getting rid of what it has.
        """
        key = f"{self.message.ref.key}:{kind}"
        is_urgent = self.is_call or self._runtime.stage != "decode"
        self._runtime.frames.put(key, arrays, urgent=is_urgent, wait=self.check)

    def pass_on(self, stage: Stage) -> None:
        """Hand the work over to `stage`."""
        pass_on(self._runtime, self.message, stage)

    def answers_here(self) -> bool:
        """Whether this stage gives the answer of a call."""
        ref = self.message.ref
        return isinstance(ref, CallRef) and ref.until == self._runtime.stage

    def answer(self, document: dict[str, Any]) -> None:
        """Give the answer of a call."""
        if not isinstance(self.message.ref, CallRef):
            raise TypeError("only calls are answered")
        self._runtime.desk.answer(self.message.ref, document)


def pass_on(runtime: Runtime, message: Message, stage: Stage) -> None:
    """Give `message` to `stage`: a call to its lane; of a step the row first, then the queue.

    A death between row and queue costs the step one hand-over lease.
    """
    if isinstance(message.ref, StepRef):
        runtime.steps.hand_over(message.ref, stage)
        runtime.dispatcher.send(STAGE_TASKS[stage], message)
    else:
        runtime.desk.forward(stage, message)


def make_handler(runtime: Runtime, body: Callable[[Attempt], None], stage: Stage | None = None) -> Handler:
    """A task that runs `body` under the rules of this module.

    Args:
        stage: in whose queue the step waits, if it is not the runtime's own.
    """

    def handle(wire: Mapping[str, Any]) -> None:
        message = Message.from_wire(wire)
        with settling(runtime, message.ref), _holding(runtime, message.ref, stage or runtime.stage) as check:
            if check is not None:
                with counting(runtime, message.ref):
                    body(Attempt(runtime, message, check))

    return handle


@contextmanager
def counting(runtime: Runtime, ref: WorkRef) -> Iterator[None]:
    """Count the time inside the `with`, and the work as done when it ends without an error."""
    started = time.perf_counter()
    try:
        yield
        runtime.meter.count("calls" if isinstance(ref, CallRef) else "steps_done")
    finally:
        runtime.meter.count("busy_seconds", time.perf_counter() - started)


@contextmanager
def settling(runtime: Runtime, ref: WorkRef) -> Iterator[None]:
    """Turn an error inside the `with` into the fate of `ref`. Never raises on account of the work."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - its kind decides what becomes of the work
        settle(runtime, ref, error)


def settle(runtime: Runtime, ref: WorkRef, error: Exception) -> None:
    """Decide what becomes of `ref` after `error`; see the module."""
    context = {"work": ref.key, "stage": runtime.stage}
    if isinstance(error, CancelledError):
        log.info("dropped: %s", error, extra=context)
        runtime.meter.count("steps_dropped")
    elif isinstance(error, TransientError | OverloadedError):
        log.warning("will be tried again: %s", error, extra=context)
        runtime.meter.count("steps_retried")
        _settle(runtime, ref, error, again=True)
    elif isinstance(error, FacepipeError):
        log.warning("failed: %s", error, extra=context)
        runtime.meter.count("steps_failed")
        _settle(runtime, ref, error, again=False)
    else:
        log.error("defect", exc_info=error, extra=context)
        runtime.meter.count("steps_failed")
        defect = FacepipeError("An internal error occurred; the log of this stage has the details.", "internal")
        _settle(runtime, ref, defect, again=False)


@contextmanager
def _holding(runtime: Runtime, ref: WorkRef, stage: Stage) -> Iterator[Callable[[], None] | None]:
    if isinstance(ref, CallRef):
        check = _deadline_check(ref)
        check()
        yield check
    elif runtime.steps.begin(ref, stage, runtime.worker):
        with runtime.heart.hold([ref]) as hold:
            yield hold.check
    else:
        log.info("dropped: superseded or delivered twice", extra={"work": ref.key, "stage": stage})
        runtime.meter.count("steps_dropped")
        yield None


def _deadline_check(ref: CallRef) -> Callable[[], None]:
    def check() -> None:
        if time.time() * 1000 > ref.deadline_ms:
            raise CancelledError(f"Nobody waits for {ref.key} any more.")

    return check


def _settle(runtime: Runtime, ref: WorkRef, error: FacepipeError, *, again: bool) -> None:
    """Tries for as long as the database is away: nobody else knows that a message was taken and not begun."""
    deadline = time.monotonic() + runtime.settings.lease.handover_s
    while True:
        try:
            if isinstance(ref, CallRef):
                runtime.desk.answer_error(ref, error)
            elif again:
                runtime.steps.retry(ref, error, _backoff_s(ref.attempt))
            else:
                runtime.steps.fail(ref, error)
        except TransientError as away:
            if isinstance(ref, StepRef) and time.monotonic() < deadline:
                time.sleep(_SETTLE_PAUSE_S)
                continue
            log.error("cannot be settled, the lease will expire: %s", away, extra={"work": ref.key})
        return


def _backoff_s(attempt: int) -> float:
    """Exponential with full jitter: somewhere in [half, whole] of the doubled time, capped."""
    whole = min(_BACKOFF_S * 2.0 ** (attempt - 1), MAX_PAUSE_S)
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
