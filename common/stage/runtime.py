"""Everything a worker process of one pool is connected to, built once after any fork."""

import os

from common.blobs.files import FileBlobStore
from common.calls import CallDesk, connect_redis
from common.celery_app import Dispatcher, make_celery
from common.contracts import Stage
from common.frames.select import open_frame_store
from common.ports import BlobStore, FrameStore
from common.settings import Settings, worker_host
from common.stage.courtesy import Courtesy
from common.stage.heart import Heart
from common.stage.meter import Meter
from common.store.counters import Counters
from common.store.database import Database
from common.store.steps import Steps
from common.store.workers import Workers


class Runtime:
    """See the module.

    Args:
        settings: all settings.
        stage: the pool this process belongs to.
    """

    def __init__(self, settings: Settings, stage: Stage) -> None:
        self.settings = settings
        self.stage = stage
        self.worker = f"{stage}@{worker_host()}.{os.getpid()}"
        self.model_ids: list[str] = []
        self.database = Database(
            settings.database_url,
            size=settings.stage_concurrency(stage) + settings.call_threads + 1,
            application=f"facepipe {stage}",
        )
        self.steps = Steps(self.database, settings.lease)
        self.workers = Workers(self.database)
        self.dispatcher = Dispatcher(make_celery(settings.redis_url))
        self.desk = CallDesk(connect_redis(settings.redis_url))
        self.blobs: BlobStore = FileBlobStore(settings.blobs_directory)
        self.frames: FrameStore = open_frame_store(settings)
        self.meter = Meter(Counters(self.database), stage)
        self.courtesy = Courtesy()
        self.heart = Heart(self.steps, self._announce, settings.lease, self.courtesy)

    def start(self) -> None:
        """Begin to live: from now on this worker counts as present."""
        self.heart.start()

    def close(self) -> None:
        """End in good order."""
        self.heart.stop()
        self.meter.store()
        self.workers.gone(self.worker)
        self.database.close()

    def _announce(self) -> None:
        self.workers.seen(
            self.worker,
            self.stage,
            threads=self.settings.stage_threads(self.stage),
            device=self.settings.stage_device(self.stage),
            model_ids=self.model_ids,
        )
        self.meter.store()
