"""WebRTC connections within this process: a client, and the peers that the live process holds."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from common.errors import BadInputError, OverloadedError
from common.types import Uint8s

pytest.importorskip("aiortc", reason="WebRTC is an extra: `make live`")
aioice = pytest.importorskip("aioice.ice")

from aiortc.mediastreams import MediaStreamError  # noqa: E402

from tests.unit.live.green import green_share  # noqa: E402
from tests.unit.live.peer import Peer, Still  # noqa: E402
from workers.live.peers import Peers  # noqa: E402
from workers.live.tracks import AnnotatedTrack  # noqa: E402

GREY = np.full((64, 96, 3), 128, np.uint8)
GREEN = np.zeros_like(GREY) + np.array([0, 255, 0], np.uint8)

needs_network = pytest.mark.skipif(
    not aioice.get_host_addresses(use_ipv4=True, use_ipv6=True),
    reason="this machine has no address but loopback, which WebRTC does not use",
)


def paint(pixels: Uint8s) -> Uint8s:
    return GREEN


def with_peers(test: Callable[[Peers], Awaitable[None]], *, limit: int = 2, idle_s: float = 60.0) -> None:
    async def run() -> None:
        peers = Peers(limit=limit, idle_s=idle_s)
        try:
            await test(peers)
        finally:
            await peers.close()
            assert len(peers) == 0

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@needs_network
def test_what_is_drawn_goes_back_in_the_size_of_the_frame() -> None:
    async def test(peers: Peers) -> None:
        client = Peer(GREY)
        await client.connect(lambda sdp: peers.answer(sdp, lambda: paint))
        frame = await client.frame()
        assert frame.shape == GREY.shape
        assert green_share(frame) > 0.9
        await client.close()
        await until(lambda: len(peers) == 0)

    with_peers(test)


def test_only_the_newest_frame_is_drawn_while_a_pool_takes_its_time() -> None:
    may_go_on = threading.Event()
    drawn: list[Uint8s] = []

    def draw_slowly(pixels: Uint8s) -> Uint8s:
        drawn.append(pixels)
        may_go_on.wait(20)
        return pixels

    async def run() -> None:
        track = AnnotatedTrack(Still(GREY), draw_slowly)
        await until(lambda: track.skipped > 3)
        assert len(drawn) == 1
        may_go_on.set()
        first, second = await track.recv(), await track.recv()
        assert (first.pts, first.time_base) < (second.pts, second.time_base)
        track.stop()
        with pytest.raises(MediaStreamError):
            while True:
                await track.recv()

    asyncio.run(run())


def test_a_frame_that_is_too_large_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.live.tracks._MOST_PX", GREY.shape[0] * GREY.shape[1] - 1)

    async def run() -> None:
        source = Still(GREY)
        track = AnnotatedTrack(source, paint)
        began = track.last_frame_at
        await until(lambda: source.sent > 3)
        assert (track.last_frame_at, track.skipped) == (began, 0)
        track.stop()

    asyncio.run(run())


def test_a_frame_that_cannot_be_drawn_is_lost_alone() -> None:
    numbers = iter(range(1000))

    def fail_once(pixels: Uint8s) -> Uint8s:
        if next(numbers) == 0:
            raise ZeroDivisionError
        return GREEN

    async def run() -> None:
        track = AnnotatedTrack(Still(GREY), fail_once)
        assert green_share((await track.recv()).to_ndarray(format="rgb24")) == 1
        track.stop()

    asyncio.run(run())


@needs_network
def test_a_peer_that_sends_nothing_is_closed() -> None:
    async def test(peers: Peers) -> None:
        client = Peer(GREY)
        await peers.answer(await client.offer(), lambda: paint)  # the answer is never used
        assert len(peers) == 1
        await until(lambda: len(peers) == 0)
        await client.close()

    with_peers(test, idle_s=0.1)


@needs_network
def test_there_are_no_more_peers_than_may_be() -> None:
    async def test(peers: Peers) -> None:
        clients = [Peer(GREY), Peer(GREY)]
        await peers.answer(await clients[0].offer(), lambda: paint)
        with pytest.raises(OverloadedError, match="1 streams are open"):
            await peers.answer(await clients[1].offer(), lambda: paint)
        for client in clients:
            await client.close()

    with_peers(test, limit=1)


@needs_network
def test_closing_hangs_up() -> None:
    async def test(peers: Peers) -> None:
        client = Peer(GREY)
        await client.connect(lambda sdp: peers.answer(sdp, lambda: paint))
        await client.frame()
        await peers.close()
        await until(lambda: client.connection.connectionState == "closed")
        await client.close()

    with_peers(test)


def test_sound_is_refused() -> None:
    async def test(peers: Peers) -> None:
        client = Peer(GREY)
        client.connection.addTransceiver("audio")
        answer = await peers.answer(await client.offer(), lambda: paint)
        directions = [line for line in answer.splitlines() if line in {"a=sendrecv", "a=inactive", "a=recvonly"}]
        assert sorted(directions) == ["a=inactive", "a=sendrecv"]
        await client.close()

    with_peers(test)


@pytest.mark.parametrize("sdp", ["", "no sdp", "v=0\r\nm=video x y\r\n", "m=" * 500, "v=0\r\n"])
def test_what_is_no_offer_of_video_is_refused_and_leaves_nothing(sdp: str) -> None:
    async def test(peers: Peers) -> None:
        with pytest.raises(BadInputError):
            await peers.answer(sdp, lambda: paint)
        assert len(peers) == 0

    with_peers(test)
