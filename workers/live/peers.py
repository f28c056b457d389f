"""WebRTC peers: an offer becomes a connection that sends the peer's video back with faces drawn in."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from common.errors import BadInputError, OverloadedError
from workers.live.tracks import AnnotatedTrack, Draw

log = logging.getLogger("facepipe.live")

_GONE: Final = frozenset({"failed", "closed", "disconnected"})
_TICK_S: Final = 0.5


class Peers:
    """All connections of a process; for its event loop alone.

    Args:
        limit: connections at the same time.
        idle_s: one that sends no frame for so long is closed, likewise one that is never made.
    """

    def __init__(self, *, limit: int, idle_s: float) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._open: dict[RTCPeerConnection, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """Connections that are open, or being made."""
        return len(self._open)

    async def answer(self, sdp: str, make_draw: Callable[[], Draw]) -> str:
        """Take an offer.

        Args:
            make_draw: gives what draws into the frames of this peer.

        Returns:
            The SDP of the answer.
        Raises:
            BadInputError: no offer that can be read, or one without video.
            OverloadedError: there are as many peers as there may be.
        """
        if len(self._open) >= self._limit:
            raise OverloadedError(f"{self._limit} streams are open, and no more may be: end one, or try again later.")
        # no server of anybody else is asked for our address
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        tracks: list[AnnotatedTrack] = []
        self._open[peer] = asyncio.create_task(self._watch(peer, tracks))

        def send_back(track: MediaStreamTrack) -> None:
            if track.kind == "video" and not tracks:
                tracks.append(AnnotatedTrack(track, make_draw()))
                peer.addTrack(tracks[0])

        peer.on("track", send_back)
        try:
            return await self._negotiate(peer, sdp, tracks)
        except BaseException:
            await self._close(peer, tracks)
            raise

    async def close(self) -> None:
        """Close every connection."""
        watches = list(self._open.values())
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _negotiate(self, peer: RTCPeerConnection, sdp: str, tracks: list[AnnotatedTrack]) -> str:
        try:
            await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            if tracks:
                _refuse_the_rest(peer, tracks[0])
                await peer.setLocalDescription(await peer.createAnswer())
        except Exception as error:  # the parser raises anything on what is no SDP
            log.info("an offer cannot be read", exc_info=error)
            raise BadInputError("The offer is no SDP that can be read.", field="sdp") from error
        if not tracks:
            raise BadInputError("The offer has no video: add a video track to the connection.", field="sdp")
        answer: str = peer.localDescription.sdp
        return answer

    async def _watch(self, peer: RTCPeerConnection, tracks: list[AnnotatedTrack]) -> None:
        """Until the peer is gone or idle."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while peer.connectionState not in _GONE:
                seen = tracks[0].last_frame_at if tracks else began
                if loop.time() - seen > self._idle_s:
                    log.info("a peer is closed: it has sent no frame for %g s", self._idle_s)
                    break
                await asyncio.sleep(_TICK_S)
        finally:
            await self._close(peer, tracks)

    async def _close(self, peer: RTCPeerConnection, tracks: list[AnnotatedTrack]) -> None:
        watch = self._open.pop(peer, None)
        if watch is None:  # somebody else is at it
            return
        if watch is not asyncio.current_task():
            watch.cancel()
        for track in tracks:
            track.stop()
        await peer.close()
        log.info("a peer has gone", extra={"peers": len(self._open), "skipped": sum(each.skipped for each in tracks)})


def _refuse_the_rest(peer: RTCPeerConnection, track: AnnotatedTrack) -> None:
    """Receive nothing that nobody takes: sound and further videos would pile up."""
    for transceiver in peer.getTransceivers():
        if transceiver.sender.track is not track:
            transceiver.direction = "inactive"
