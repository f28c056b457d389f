"""Sends pending steps into the queues, as much as the pools can begin soon, and finds what died."""

import logging
import uuid

import redis

from common.celery_app import Dispatcher
from common.contracts import STAGES
from common.errors import TransientError
from common.settings import LIGHT_THREADS
from common.store.schedule import BULK, LIGHT, Schedule
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
    """One tick at a time; see the module.

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

    def tick(self) -> None:
        """Expire, notice a wiped broker, send.

        Raises:
            TransientError: the database is away.
        """
        expired = self._schedule.expire()
        if expired.revived or expired.quarantined:
            log.warning("leases expired", extra={"revived": expired.revived, "quarantined": expired.quarantined})
        try:
            self._notice_wiped_broker()
            self._send()
        except (redis.RedisError, TransientError) as error:
            log.warning("the broker is away, steps stay pending: %s", error)

    def _notice_wiped_broker(self) -> None:
        if self._redis.set(MARKER_KEY, uuid.uuid4().hex, nx=True):
            resent = self._schedule.resend_all()
            log.warning("the broker is new or lost its data; what waited in it is sent again", extra={"steps": resent})

    def _send(self) -> None:
        alive = self._workers.alive(self._lease_s)  # one that died must not be counted beside its successor
        busy = self._schedule.in_flight()
        threads = {stage: sum(row["threads"] for row in alive.get(stage, ())) for stage in STAGES}
        allowed: dict[str, int] = {
            "decode": threads["decode"],
            LIGHT: _MESSAGES_PER_THREAD * LIGHT_THREADS * len(alive.get("decode", ())),
            "match": _MESSAGES_PER_THREAD * threads["match"],
            **{lane: -(-threads[stage] // _THREADS_PER_BULK_STEP) for stage, lane in BULK.items()},
        }
        room = {lane: max(0, messages - busy.get(lane, 0)) for lane, messages in allowed.items()}
        if not any(room.values()):
            return
        for outgoing in self._schedule.claim(room):
            try:
                self._dispatcher.send(outgoing.task, outgoing.message)
            except TransientError:
                self._schedule.unclaim(outgoing)
                raise
