"""The Celery app and the dispatcher: how a message gets into a queue."""

from typing import Any

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from common.contracts import POOLS, TASK_QUEUES, Message, Priority
from common.errors import TransientError

_VISIBILITY_TIMEOUT_S = 3600


def make_celery(redis_url: str) -> Celery:
    """An app that publishes and consumes facepipe's queues; tasks are named, never imported, by publishers.

    Messages are acknowledged late and prefetched one a thread, so a queue's head start goes to the next free thread of
    any host. Truth about the work is in `steps`; a message that is lost or doubled changes nothing.
    """
    app = Celery("facepipe", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_queues=[Queue(stage) for stage in POOLS],  # type: ignore[no-untyped-call]
        task_routes={task: {"queue": queue} for task, queue in TASK_QUEUES.items()},
        task_create_missing_queues=False,
        task_default_priority=int(Priority.NORMAL),
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "queue_order_strategy": "priority",
            "priority_steps": [int(priority) for priority in Priority],
            "visibility_timeout": _VISIBILITY_TIMEOUT_S,
            "socket_timeout": 30,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "retry_on_timeout": True,
        },
        enable_utc=True,
    )
    return app


class Dispatcher:
    """Sends messages by task name.

    Args:
        app: from `make_celery`.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, task: str, message: Message) -> None:
        """Put `message` into the queue of `task`.

        Raises:
            TransientError: the broker is away.
        """
        try:
            self._app.send_task(
                task,
                kwargs={"message": message.to_wire()},
                kwargsrepr=message.label,
                queue=TASK_QUEUES[task],
                priority=int(message.priority),
                ignore_result=True,
                retry=True,
                retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5},
            )
        except (OperationalError, OSError) as error:
            raise TransientError(f"The broker cannot be reached: {error}") from error

    def queue_lengths(self) -> dict[str, int]:
        """Messages waiting per stage, all priorities together."""
        with self._app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            return {stage: channel._size(stage) for stage in POOLS}
