"""Front door of every pool: `FACEPIPE_STAGE=detect celery -A workers.app worker -Q detect -P threads …`.

Without `FACEPIPE_STAGE` (Flower, `celery inspect`) the app knows the broker alone. Connections are made and models are
loaded in `worker_init`, in the process that will use them; pools are thread pools, so nothing is forked afterwards.
"""

import importlib
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, cast

from celery import signals

from common.allocator import keep_freed_memory
from common.celery_app import make_celery
from common.contracts import POOLS, STAGE_TASKS, TASK_FINISH, TASK_MATCH, TASK_QUEUES, Stage
from common.errors import FacepipeError
from common.settings import Settings
from common.stage.lane import CallLane
from common.stage.runner import Handler
from common.stage.runtime import Runtime
from common.telemetry import configure_logging

log = logging.getLogger("facepipe.worker")
settings = Settings()
app = make_celery(settings.redis_url)
_stage = os.environ.get("FACEPIPE_STAGE", "")
_handlers: dict[str, Handler] = {}
_runtimes: list[Runtime] = []
_lanes: list[CallLane] = []
_thread = threading.local()
_BULK_NICENESS = 10

#: They take a moment, with locks in the database and much Python: at a low priority calls would wait for both.
_BRIEF = frozenset({TASK_MATCH, TASK_FINISH})


def _yield_to_calls() -> None:
    """Let bulk work have the processor after everything that somebody waits for.

    Linux counts niceness by thread, and a program started by a thread (ffmpeg) inherits it.
    """
    if not getattr(_thread, "is_nice", False):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BULK_NICENESS)
        _thread.is_nice = True


def _politely(handler: Handler) -> Handler:
    def run(message: Mapping[str, Any]) -> None:
        _yield_to_calls()
        handler(message)

    return run


def _register(name: str) -> None:
    @app.task(name=name, bind=False)
    def run(message: Mapping[str, Any]) -> None:
        if name not in _BRIEF:
            _yield_to_calls()
        _handlers[name](message)


if _stage:
    if _stage not in POOLS:
        raise SystemExit(f"FACEPIPE_STAGE is {_stage!r}; it must be one of {', '.join(POOLS)}.")
    for _name, _queue in TASK_QUEUES.items():
        if _queue == _stage:
            _register(_name)

    @signals.setup_logging.connect
    def _set_up_logging(**_: Any) -> None:
        configure_logging(settings.log_level)

    @signals.worker_init.connect
    def _start(**_: Any) -> None:
        configure_logging(settings.log_level)  # Celery asks for it only later, and loading has something to say
        keep_freed_memory()
        try:
            runtime = Runtime(settings, cast(Stage, _stage))
            _handlers.update(importlib.import_module(f"workers.{_stage}.tasks").make_tasks(runtime))
        except FacepipeError as error:
            log.critical("the %s pool cannot start: %s", _stage, error)
            raise SystemExit(1) from error
        except Exception as error:
            log.exception("the %s pool cannot start", _stage)
            raise SystemExit(1) from error
        _runtimes.append(runtime)
        handler = _handlers[STAGE_TASKS[runtime.stage]]
        _lanes.append(
            CallLane(runtime.desk, runtime.stage, handler, threads=settings.call_threads, courtesy=runtime.courtesy)
        )
        if runtime.stage == "decode":  # a video takes many seconds: pictures must not wait behind it
            _lanes.append(CallLane(runtime.desk, "extract", _politely(handler), threads=1))

    @signals.worker_ready.connect
    def _ready(**_: Any) -> None:
        for runtime in _runtimes:
            runtime.start()
        for lane in _lanes:
            lane.start()

    @signals.worker_shutdown.connect
    def _stop(**_: Any) -> None:
        for lane in _lanes:
            lane.stop()
        for runtime in _runtimes:
            runtime.close()
