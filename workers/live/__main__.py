"""Front door: `python -m workers.live`. Holds the WebRTC peers of predecessor 001; see docs/howto/live.md.

Offers come from the API through the call desk, as calls do, and frames go to the pools in the same way. The video of
strangers is decoded here, in a process that nothing else runs in.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from typing import Any

from common.blobs.files import FileBlobStore
from common.calls import CallDesk, connect_redis
from common.contracts import LIVE, Message
from common.errors import FacepipeError, TransientError
from common.gnosis.dataset import read_dataset
from common.gnosis.vote import bound_for
from common.packs import find_pack
from common.settings import Settings, worker_host
from common.store.database import Database
from common.store.workers import Workers
from common.telemetry import configure_logging
from workers.live.looking import Looker, Naming
from workers.live.peers import Peers
from workers.live.tracks import Draw

log = logging.getLogger("facepipe.live")

_WAIT_S = 1.0


class Live:
    """The process; see the module."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = f"{LIVE}@{worker_host()}.{os.getpid()}"
        self._database = Database(settings.database_url, size=1, application="facepipe live")
        self._workers = Workers(self._database)
        self._desk = CallDesk(connect_redis(settings.redis_url))
        self._blobs = FileBlobStore(settings.blobs_directory)
        self._above = bound_for(find_pack(settings.model_pack, settings.packs_path).embedder)
        self._peers = Peers(limit=settings.compat_max_peers, idle_s=settings.compat_peer_idle_s)
        self._ending = asyncio.Event()
        self._stopping = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; every connection is closed then."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        threads = [
            threading.Thread(target=self._take_offers, args=(loop,), name="offers", daemon=True),
            threading.Thread(target=self._announce, name="heart", daemon=True),
        ]
        for thread in threads:
            thread.start()
        await self._ending.wait()
        self._stopping.set()
        await self._peers.close()
        for thread in threads:
            await asyncio.to_thread(thread.join, 2 * _WAIT_S)
        with contextlib.suppress(TransientError):
            self._workers.gone(self._name)
        self._database.close()

    def _announce(self) -> None:
        while not self._stopping.is_set():
            try:
                self._workers.seen(
                    self._name, LIVE, threads=self._settings.compat_max_peers, device="cpu", model_ids=[]
                )
            except TransientError as error:
                log.warning("%s", error)
            self._stopping.wait(self._settings.lease.heartbeat_s)

    def _take_offers(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            try:
                wire = self._desk.take(LIVE, _WAIT_S)
                if wire is not None:
                    loop.call_soon_threadsafe(self._start, Message.from_wire(wire))
            except TransientError as error:
                log.warning("no offers can be taken: %s", error)
                time.sleep(_WAIT_S)
            except Exception:
                log.exception("an offer was lost")

    def _start(self, message: Message) -> None:
        task = asyncio.create_task(self._serve(message))
        self._tasks.add(task)  # the loop itself holds tasks by weak references alone
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, message: Message) -> None:
        ref: Any = message.ref
        if message.offer is None or ref.deadline_ms < time.time() * 1000:
            return
        try:
            naming = await asyncio.to_thread(self._naming, message.blob_key)
            sdp = await self._peers.answer(message.offer.sdp, lambda: self._drawing(naming))
            await asyncio.to_thread(self._desk.answer, ref, {"sdp": sdp, "type": "answer"})
        except FacepipeError as error:
            with contextlib.suppress(TransientError):
                await asyncio.to_thread(self._desk.answer_error, ref, error)
        except Exception:
            log.exception("an offer failed by a defect")

    def _naming(self, dataset_key: str) -> Naming:
        dataset = read_dataset(self._blobs.read(dataset_key)) if dataset_key else None
        return Naming(dataset, above=self._above)

    def _drawing(self, naming: Naming) -> Draw:
        return Looker(self._desk, self._blobs, naming).draw


async def _run(settings: Settings) -> None:
    await Live(settings).run()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = Settings()
    configure_logging(settings.log_level)
    for chatty in ("aioice", "aiortc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(_run(settings))


if __name__ == "__main__":
    main()
