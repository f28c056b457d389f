"""The other end of a WebRTC connection: a peer that sends one picture again and again, and takes what comes back."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from av import VideoFrame

from common.types import Uint8s


class Still(VideoStreamTrack):
    """Thirty times a second the same picture."""

    def __init__(self, pixels: Uint8s) -> None:
        super().__init__()
        self._pixels = pixels
        self.sent = 0

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame.from_ndarray(self._pixels, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        self.sent += 1
        return frame


class Peer:
    """A client; close it.

    Args:
        pixels: (height, width, 3) uint8 RGB, even sides; what is sent.
    """

    def __init__(self, pixels: Uint8s) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._tracks: asyncio.Queue[VideoStreamTrack] = asyncio.Queue()
        self.connection.on("track", self._tracks.put_nowait)
        self.connection.addTrack(Still(pixels))
        self._back: VideoStreamTrack | None = None

    async def offer(self) -> str:
        """The SDP to be sent to the server."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def connect(self, ask: Callable[[str], Awaitable[str]]) -> None:
        """Make an offer, have it answered, and connect."""
        sdp = await ask(await self.offer())
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def frame(self) -> Uint8s:
        """The next frame that comes back, (height, width, 3) uint8 RGB."""
        if self._back is None:
            self._back = await asyncio.wait_for(self._tracks.get(), 20)
        frame = await asyncio.wait_for(self._back.recv(), 20)
        return np.asarray(frame.to_ndarray(format="rgb24"))

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()
