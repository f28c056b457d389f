"""Finding ffmpeg, and running it on strangers' bytes: no shell, no network, no waiting for ever."""

import os
import re
import select
import shutil
import signal
import subprocess
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fcntl import F_GETPIPE_SZ, F_SETPIPE_SZ, fcntl, ioctl
from functools import lru_cache
from termios import FIONREAD
from types import TracebackType
from typing import Any, Self

from common.errors import BadInputError, ConfigurationError, TransientError

#: Only local files and our own pipes can be opened, whatever a playlist inside the media asks for.
PROTOCOLS = "file,pipe"

#: Real containers only, no playlists, concat scripts, image sequences or devices. Those for audio are here to be told
#: that they hold no video.
CONTAINERS = (
    "mov,mp4,matroska,webm,avi,flv,live_flv,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,asf,ogg,mxf,dv,wtv,nut,"
    "mp3,aac,flac,wav,aiff"
)

_OLDEST = (5, 1)
_NEWEST = (1 << 30, 0)
_TICK_MS = 250
_PIPE_BYTES = 1 << 20
_GATHER_S = 0.0005
_ERROR_LINES = 200
_LINE_BYTES = 500
_PREFIXES = re.compile(r"^(\[[^\]]*\] *|Error opening input( files)?: |file:.*?: (?=[A-Z]))+")
_IDLE = ("Error opening input", "Conversion failed", "Last message", "frame=", "video:")
_KILLED = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU}


@lru_cache(maxsize=8)
def find_ffmpeg(configured: str = "") -> str:
    """Path of the ffmpeg to run: the configured one, else the one on PATH, else the one of the imageio-ffmpeg wheel.

    An ffmpeg on PATH that is older than 5.1 is passed over, since it lacks options that exact frame times need.

    Args:
        configured: `Settings.ffmpeg`; a path or a program name; empty means to look for one.

    Raises:
        ConfigurationError: there is none, or the configured one is missing or too old.
    """
    if configured:
        path = shutil.which(configured)
        if path is None:
            raise ConfigurationError(
                f"FACEPIPE_FFMPEG is {configured!r}, which is no program: give the path of ffmpeg, or unset it."
            )
        if _is_too_old(path):
            raise ConfigurationError(f"{path} is older than ffmpeg 5.1: install a newer one, or unset FACEPIPE_FFMPEG.")
        return path
    path = shutil.which("ffmpeg")
    if path is not None and not _is_too_old(path):
        return path
    try:
        import imageio_ffmpeg  # noqa: PLC0415 - optional: installations with their own ffmpeg lack it

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise ConfigurationError(
            "ffmpeg 5.1 or newer is missing: install it, or `pip install imageio-ffmpeg`, or set FACEPIPE_FFMPEG."
        ) from error


def _is_too_old(path: str) -> bool:
    return version_of(path) < _OLDEST


@lru_cache(maxsize=8)
def version_of(path: str) -> tuple[int, int]:
    """Major and minor version of an ffmpeg; development builds have no number and count as the newest.

    Raises:
        ConfigurationError: the program does not run.
    """
    try:
        said = subprocess.run([path, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"{path} does not run ({error}): set FACEPIPE_FFMPEG to one that does.") from error
    version = re.match(rb"ffmpeg version n?(\d+)\.(\d+)", said.stdout)
    return _NEWEST if version is None else (int(version[1]), int(version[2]))


class SidePipe:
    """A pipe by which ffmpeg tells something beside its output; give `write_fd` to it as `pipe:<write_fd>`."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    def close(self) -> None:
        """Close both ends; harmless when closed."""
        self.close_write()
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    def close_write(self) -> None:
        """Close our copy of the writing end, so that the reading end can end."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1


class FfmpegProcess:
    """A running ffmpeg; a context manager that leaves no process behind, whatever happens.

    All reading is done by the caller's thread. While it waits, `check` is called about four times a second and ffmpeg's
    complaints are kept. A caller who does not read stops ffmpeg by the full pipe, and that is not counted as a stall.

    Args:
        command: program and arguments, as a list.
        stall_timeout_s: ffmpeg is killed when it gives nothing for so long while it is waited for.
        check: raises to stop.
        side: further channel; closed on exit.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stall_timeout_s: float,
        check: Callable[[], None],
        side: SidePipe | None = None,
    ) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._check = check
        self._side = side
        self._errors_ended = False
        self._tail: deque[bytes] = deque(maxlen=_ERROR_LINES)
        self._head: list[bytes] = []
        self._error_rest = b""
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=() if side is None else (side.write_fd,),
                process_group=0,  # Ctrl-C in a terminal must not look like the end of the media
            )
        except OSError as error:
            if side is not None:
                side.close()
            raise ConfigurationError(
                f"ffmpeg cannot be started: {error}. Set FACEPIPE_FFMPEG to one that runs."
            ) from error
        if side is not None:
            side.close_write()
        stdout, stderr = self._process.stdout, self._process.stderr
        if stdout is None or stderr is None:
            raise AssertionError("Popen was asked for pipes")
        self._stdout: Any = stdout
        self._stderr: Any = stderr
        with suppress(OSError):  # a smaller pipe only costs more turns
            fcntl(stdout.fileno(), F_SETPIPE_SZ, _PIPE_BYTES)
        self._worth_reading_bytes = fcntl(stdout.fileno(), F_GETPIPE_SZ) // 2

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._stdout.close()
        self._stderr.close()
        if self._side is not None:
            self._side.close()

    def read_into(self, view: memoryview) -> int:
        """Fill `view`, a flat writable view of bytes, from ffmpeg's output; short only where the output ends.

        Whoever reads each byte as it comes takes turns with ffmpeg a hundred times a frame, so little is left to grow.
        """
        filled = 0
        while filled < len(view):
            self._wait_for(self._stdout.fileno())
            if self._readable_bytes() < min(len(view) - filled, self._worth_reading_bytes):
                time.sleep(_GATHER_S)
            count = self._stdout.readinto(view[filled:])
            if not count:
                break
            filled += count
        return filled

    def lines(self) -> Iterator[bytes]:
        """Lines of ffmpeg's output, without their ends."""
        yield from self._lines(self._stdout.fileno())

    def side_lines(self) -> Iterator[bytes]:
        """Lines of the side channel, without their ends."""
        if self._side is None:
            raise ValueError("this ffmpeg was started without a side channel")
        yield from self._lines(self._side.read_fd)

    def finish(self) -> None:
        """Wait for the end, dropping what output is left.

        Raises:
            TransientError: somebody killed ffmpeg, or it does not end.
            BadInputError: ffmpeg crashed.
        """
        scratch = memoryview(bytearray(1 << 16))
        while self.read_into(scratch):
            pass
        while not self._errors_ended:
            self._wait_for(self._stderr.fileno())
            self._read_errors()
        try:
            code = self._process.wait(self._stall_timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TransientError("ffmpeg closed its output and does not end; the work is tried again.") from error
        if code >= 0:
            return
        name = signal.Signals(-code).name
        if -code in _KILLED:
            raise TransientError(f"ffmpeg was ended by {name}; the work is tried again.")
        raise BadInputError(f"The media crashed its decoder ({name}).", "bad_media")

    @property
    def has_failed(self) -> bool:
        """Whether ffmpeg ended with an error status; known after `finish`."""
        return self._process.returncode != 0

    @property
    def said(self) -> str:
        """What ffmpeg wrote to its error channel so far: its first and last lines."""
        lines = [*self._head, *self._tail]
        return b"\n".join(lines).decode(errors="replace")

    def complaint(self) -> str:
        """The last thing ffmpeg said, for an error sentence, without addresses and paths."""
        for line in reversed(self.said.splitlines()):
            text = _PREFIXES.sub("", line.strip())
            if text and not text.startswith(_IDLE):
                return text.rstrip(".")[:200]
        return "it gave no frame"

    def _lines(self, fd: int) -> Iterator[bytes]:
        rest = b""
        while True:
            self._wait_for(fd)
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                break
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def _wait_for(self, fd: int) -> None:
        self._check()
        error_fd = self._stderr.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not self._errors_ended:
            poll.register(error_fd, select.POLLIN)
        deadline = time.monotonic() + self._stall_timeout_s
        while True:
            ready = [ready_fd for ready_fd, _ in poll.poll(_TICK_MS)]
            if fd in ready:
                return
            self._check()
            if ready:
                self._read_errors()
                deadline = time.monotonic() + self._stall_timeout_s
                if self._errors_ended:
                    poll.unregister(error_fd)
            elif time.monotonic() > deadline:
                self._process.kill()
                raise TransientError(f"ffmpeg gave nothing for {self._stall_timeout_s:g} s and was stopped.")

    def _readable_bytes(self) -> int:
        count = array("i", [0])
        ioctl(self._stdout.fileno(), FIONREAD, count)
        return count[0]

    def _read_errors(self) -> None:
        chunk = os.read(self._stderr.fileno(), 1 << 16)
        self._errors_ended = not chunk
        *whole, rest = (self._error_rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if self._errors_ended:
            whole, rest = [*whole, rest], b""
        self._error_rest = rest[-_LINE_BYTES:]
        for line in whole:
            kept = line[:_LINE_BYTES]
            if len(self._head) < _ERROR_LINES:
                self._head.append(kept)
            else:
                self._tail.append(kept)
