"""Sends pending steps into the queues, as much as the pools can begin soon, and finds what died."""

import logging
import uuid
from typing import Any

import redis

from common.celery_app import Dispatcher
from common.contracts import STAGES
from common.errors import TransientError
from common.settings import LIGHT_THREADS
from common.store.schedule import BULK, LIGHT, Outgoing, Schedule
from common.store.workers import Workers

log = logging.getLogger("facepipe.scheduler")

#: Redis key whose absence means that Redis lost everything (string, random, no expiry).
MARKER_KEY = "facepipe:marker"
#: Messages per thread that may be running or waiting: one to work on, one to begin without a pause. A decoder run takes
#: seconds and is begun when a thread is free, so that whatever comes meanwhile has its turn first.
_MESSAGES_PER_THREAD = 2
#: Bulk jobs get half of the threads of a pool, rounded up, and nothing waits in front of them: live jobs keep the rest.
_THREADS_PER_BULK_STEP = 2


class Scheduler:
    """Looks now and then, and sends whenever something changed; see the module.

    Args:
        schedule: the steps.
        workers: who is alive, hence how much room there is.
        dispatcher: publishes.
        client: for the marker.
        lease_s: a worker silent for so long is dead.
    """

    def __init__(
        self, schedule: Schedule, workers: Workers, dispatcher: Dispatcher, client: redis.Redis, *, lease_s: float
    ) -> None:
        self._schedule = schedule
        self._workers = workers
        self._dispatcher = dispatcher
        self._redis = client
        self._lease_s = lease_s
        self._alive: dict[str, list[dict[str, Any]]] = {}
        self._can_send = False

    def look(self) -> None:
        """Who lives, what died, and whether the broker still has what was sent.

        Raises:
            TransientError: the database is away.
        """
        expired = self._schedule.expire()
        if expired.revived or expired.quarantined:
            log.warning("leases expired", extra={"revived": expired.revived, "quarantined": expired.quarantined})
        self._alive = self._workers.alive(self._lease_s)  # one that died must not be counted beside its successor
        self._can_send = False
        try:
            self._notice_wiped_broker()
            self._can_send = True
        except redis.RedisError as error:
            log.warning("the broker is away, steps stay pending: %s", error)

    def send(self) -> None:
        """Put into the queues what the pools have room for, as the last `look` found them.

        Raises:
            TransientError: the database is away.
        """
        for outgoing in self._claim() if self._can_send else ():
            if not self._publish(outgoing):
                self._schedule.unclaim(outgoing)

    def _publish(self, outgoing: Outgoing) -> bool:
        """Whether it is sent; when the broker turns out to be away, nothing more is tried until the next look."""
        if self._can_send:
            try:
                self._dispatcher.send(outgoing.task, outgoing.message)
            except TransientError as error:
                self._can_send = False
                log.warning("the broker is away, steps stay pending: %s", error)
        return self._can_send

    def _notice_wiped_broker(self) -> None:
        if self._redis.set(MARKER_KEY, uuid.uuid4().hex, nx=True):
            resent = self._schedule.resend_all()
            log.warning("the broker is new or lost its data; what waited in it is sent again", extra={"steps": resent})

    def _claim(self) -> list[Outgoing]:
        busy = self._schedule.in_flight()
        threads = {stage: sum(row["threads"] for row in self._alive.get(stage, ())) for stage in STAGES}
        allowed: dict[str, int] = {
            "decode": threads["decode"],
            LIGHT: _MESSAGES_PER_THREAD * LIGHT_THREADS * len(self._alive.get("decode", ())),
            "match": _MESSAGES_PER_THREAD * threads["match"],
            **{lane: -(-threads[stage] // _THREADS_PER_BULK_STEP) for stage, lane in BULK.items()},
        }
        room = {lane: max(0, messages - busy.get(lane, 0)) for lane, messages in allowed.items()}
        return self._schedule.claim(room) if any(room.values()) else []
