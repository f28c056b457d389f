"""The older routes in this process, on the real broker, with the real decode pool beside them.

Nothing here asks the database, so none is started: its address leads nowhere.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.compat.mount import Mount, make_mount
from api.services import EXTENSION, Services
from common.calls import CallDesk, connect_redis
from common.contracts import Message
from common.settings import Settings
from common.stage.lane import CallLane
from common.stage.runtime import Runtime
from tests.unit.api.answering import answering_pools
from tests.unit.api.conftest import write_pack
from workers.decode.tasks import make_tasks

RECORDINGS = Path(__file__).parent.parent.parent / "compat_recordings"
VERSIONS = sorted(path.name for path in RECORDINGS.glob("jsonpickle-*"))


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Everything switched on, with limits that a test can reach."""
    write_pack(tmp_path / "models" / "test-pack")
    return Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": "postgresql://127.0.0.1:1/none",
            "redis_url": redis_url,
            "model_pack": "test-pack",
            "compat": "all",
            "compat_max_body_bytes": 1 << 20,
            "compat_max_frames_bytes": 1 << 20,
            "compat_timeout_s": 60,
            "api": {"max_media_bytes": 1 << 20, "call_timeout_s": 20},
        }
    )


@pytest.fixture
def make(settings: Settings) -> Iterator[Callable[..., Mount]]:
    """Makes a mount with some settings changed."""
    mounts: list[Mount] = []

    def make_with(**changes: Any) -> Mount:
        mounts.append(make_mount(settings.model_copy(update=changes)))
        return mounts[-1]

    yield make_with
    for mount in mounts:
        services_of(mount).database.close()


@pytest.fixture
def mount(make: Callable[..., Mount]) -> Mount:
    return make()


@pytest.fixture
def services(mount: Mount) -> Services:
    return services_of(mount)


@pytest.fixture
def pool(services: Services, redis_url: str) -> Iterator[list[Message]]:
    """See `answering_pools`."""
    with answering_pools(services, redis_url) as taken:
        yield taken


@pytest.fixture
def decode_pool(settings: Settings) -> Iterator[None]:
    """The decode pool's two lanes of calls, in threads of this process."""
    runtime = Runtime(settings, "decode")
    handler = make_tasks(runtime)["facepipe.decode"]
    lanes = [
        CallLane(CallDesk(connect_redis(settings.redis_url)), lane, handler, threads=1)
        for lane in ("decode", "extract")
    ]
    for lane in lanes:
        lane.start()
    yield
    for lane in lanes:
        lane.stop()
    runtime.database.close()


def services_of(mount: Mount) -> Services:
    """What the apps of a mount share."""
    services: Services = mount.apps[min(mount.apps)][0].extensions[EXTENSION]
    return services
