"""Front door: `python -m workers.housekeeping`. Several may run; one leads, the others wait to take over."""

import logging
import math
import os
import signal
import threading
import time
from contextlib import closing
from types import FrameType

from common.blobs.files import FileBlobStore
from common.calls import connect_redis
from common.celery_app import Dispatcher, make_celery
from common.errors import TransientError
from common.frames.select import open_frame_store
from common.settings import Settings, worker_host
from common.store.approximate import ApproximateIndexes
from common.store.database import Database, Session
from common.store.erasure import Erasure
from common.store.migrate import migrate
from common.store.schedule import Schedule
from common.store.workers import Workers
from common.telemetry import configure_logging
from workers.housekeeping.scheduler import Scheduler
from workers.housekeeping.sweeper import Sweeper
from workers.housekeeping.webhooks import Courier

log = logging.getLogger("facepipe.housekeeping")

_LEADER_LOCK = 0x66616366
_IDLE_S = 1.0
_PAUSE_S = 0.05
_LOOK_S = 0.5
_SWEEP_S = 2.0
_SWEEP_BLOBS_S = 600.0


class Housekeeping:
    """The loop; see the module."""

    def __init__(self, settings: Settings) -> None:
        self._name = f"housekeeping@{worker_host()}.{os.getpid()}"
        self._database = Database(settings.database_url, size=2, application="facepipe housekeeping")
        migrate(self._database)
        self._workers = Workers(self._database)
        schedule = Schedule(self._database, settings.lease, settings.decode.span_segments)
        self._scheduler = Scheduler(
            schedule,
            self._workers,
            Dispatcher(make_celery(settings.redis_url)),
            connect_redis(settings.redis_url),
            lease_s=settings.lease.lease_s,
        )
        blobs = FileBlobStore(settings.blobs_directory)
        self._erasure = Erasure(self._database, blobs)
        self._sweeper = Sweeper(
            schedule,
            open_frame_store(settings),
            blobs,
            missing_jobs=schedule.missing_jobs,
            unused_crops=schedule.unused_crops,
            spent_media=schedule.spent_media,
        )
        self._courier = Courier(
            Database(settings.database_url, size=2, application="facepipe webhooks"), settings.webhook
        )
        self._indexes = ApproximateIndexes(self._database)
        self._dropping: threading.Thread | None = None
        self._heartbeat_s = settings.lease.heartbeat_s
        self._stopping = False

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """End after the current tick."""
        self._stopping = True

    def run(self) -> None:
        """Until `stop`; survives an absent database or broker."""
        self._courier.start()
        while not self._stopping:
            try:
                with closing(self._database.session()) as session:
                    self._lead(session)
            except TransientError as error:
                log.warning("%s", error)
                time.sleep(_IDLE_S)
        self._courier.stop()
        self._workers.gone(self._name)

    def _lead(self, session: Session) -> None:
        looked = swept = swept_blobs = seen = -math.inf
        is_leader = False
        session.listen("facepipe_steps")
        while not self._stopping:
            now = time.monotonic()
            if now - seen > self._heartbeat_s:
                self._workers.seen(self._name, "housekeeping", threads=1, device="cpu", model_ids=[])
                seen = now
            is_leader = is_leader or session.try_lock(_LEADER_LOCK)
            if is_leader:
                if now - looked > _LOOK_S:
                    self._scheduler.look()
                    looked = now
                self._scheduler.send()
                if now - swept > _SWEEP_S:
                    self._sweeper.sweep_frames()
                    swept = now
                if now - swept_blobs > _SWEEP_BLOBS_S:
                    self._erasure.remove_doomed()
                    self._sweeper.sweep_blobs()
                    self._drop_indexes()
                    self._workers.forget_silent()
                    swept_blobs = now
            session.notifications(_IDLE_S)
            time.sleep(max(0.0, now + _PAUSE_S - time.monotonic()))  # a burst of changes becomes one turn

    def _drop_indexes(self) -> None:
        """In a thread of its own: an index goes only when the transactions that may use it have ended."""
        if self._dropping is None or not self._dropping.is_alive():
            self._dropping = threading.Thread(target=self._drop_unwanted, name="indexes", daemon=True)
            self._dropping.start()

    def _drop_unwanted(self) -> None:
        try:
            if dropped := self._indexes.remove_unwanted():
                log.info("dropped approximate indexes that nobody wants", extra={"indexes": dropped})
        except TransientError as error:
            log.warning("approximate indexes are dropped later: %s", error)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = Settings()
    configure_logging(settings.log_level)
    housekeeping = Housekeeping(settings)
    signal.signal(signal.SIGTERM, housekeeping.stop)
    signal.signal(signal.SIGINT, housekeeping.stop)
    housekeeping.run()


if __name__ == "__main__":
    main()
