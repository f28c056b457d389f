"""Which frame store the settings ask for."""

from common.calls import connect_redis
from common.frames.files import FileFrameStore
from common.frames.redis import RedisFrameStore
from common.ports import FrameStore
from common.settings import Settings


def open_frame_store(settings: Settings) -> FrameStore:
    """The store of `FACEPIPE_FRAMES__BACKEND`."""
    frames = settings.frames
    if frames.backend == "redis":
        return RedisFrameStore(connect_redis(frames.redis_url or settings.redis_url), frames.capacity_bytes)
    return FileFrameStore(frames.directory, frames.capacity_bytes)
