"""The video that goes back to a peer: its own newest frame with the faces drawn in, as often as the pools answer."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from common.types import Uint8s
from workers.live.newest import Newest

log = logging.getLogger("facepipe.live")

_MOST_PX: Final = 4096 * 2304
"""Of a frame; a few bytes of video can say that they are a picture of a gigabyte."""

Draw = Callable[[Uint8s], Uint8s]
"""Draws into (height, width, 3) uint8 RGB; called in a thread of the track's own, so it may take its time."""


class AnnotatedTrack(MediaStreamTrack):
    """See the module. Make it inside of the event loop.

    Args:
        source: the peer's video; it is read all the time, so that nothing piles up. Frames of more than 9 megapixels
            are passed over.
        draw: see `Draw`.
    """

    kind = "video"

    def __init__(self, source: MediaStreamTrack, draw: Draw) -> None:
        super().__init__()
        self._source = source
        self._draw = draw
        self._loop = asyncio.get_running_loop()
        self._arrived: Newest[VideoFrame] = Newest()
        self._drawn: VideoFrame | None = None
        self._changed = asyncio.Event()
        self.last_frame_at = self._loop.time()
        self._reading = self._loop.create_task(self._read())
        threading.Thread(target=self._draw_all, name="peer", daemon=True).start()

    @property
    def skipped(self) -> int:
        """Frames that were not looked at."""
        return self._arrived.skipped

    async def recv(self) -> VideoFrame:
        """The next drawn frame. Raises MediaStreamError at the end."""
        while self._drawn is None:
            if self.readyState != "live":
                raise MediaStreamError
            self._changed.clear()
            await self._changed.wait()
        frame, self._drawn = self._drawn, None
        return frame

    def stop(self) -> None:
        """End the track and its thread."""
        self._reading.cancel()
        self._arrived.close()
        super().stop()
        self._changed.set()

    async def _read(self) -> None:
        try:
            while True:
                frame = await self._source.recv()
                if frame.width * frame.height <= _MOST_PX:
                    self._arrived.put(frame)
                    self.last_frame_at = self._loop.time()
        except MediaStreamError:
            self.stop()

    def _draw_all(self) -> None:
        while (frame := self._arrived.take()) is not None:
            try:
                drawn = VideoFrame.from_ndarray(self._draw(frame.to_ndarray(format="rgb24")), format="rgb24")
            except Exception:
                log.exception("a frame was lost")
                continue
            drawn.pts, drawn.time_base = frame.pts, frame.time_base
            try:
                self._loop.call_soon_threadsafe(self._show, drawn)
            except RuntimeError:  # the loop has ended
                return

    def _show(self, frame: VideoFrame) -> None:
        self._drawn = frame
        self._changed.set()
