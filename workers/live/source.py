"""Where live pictures come from: a camera of this machine, a stream in the network, or a file at its own speed."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import ffmpeg

from common.errors import BadInputError, TransientError
from common.ffmpeg import CONTAINERS, PROTOCOLS, FfmpegProcess
from workers.live.parts import read_parts

Kind = Literal["device", "rtsp", "http", "file"]

_SCHEMES: Final[Mapping[str, Kind]] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}

#: What a stream may make ffmpeg open besides its own address: never a file of this machine.
_NETWORK: Final[Mapping[Kind, tuple[str, str]]] = {
    "rtsp": ("rtsp,rtsps,rtp,srtp,udp,tcp,tls", "rtsp,sdp,rtp,mpegts"),
    "http": ("http,https,tcp,tls,crypto", f"{CONTAINERS},mpjpeg,mjpeg,hls"),
}
_ANALYZE_US: Final = 1_000_000
_QUALITY: Final = 3
_SECRET: Final = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Source:
    """See the module.

    Attributes:
        address: what ffmpeg opens.
        label: the same for people, without passwords.
    """

    kind: Kind
    address: str
    label: str

    @property
    def is_endless(self) -> bool:
        """Whether it is opened again when it ends."""
        return self.kind != "file"


def parse_source(text: str) -> Source:
    """A source as a person writes it: `0` or `/dev/video0`, `rtsp://…`, `http://…`, or the path of a file.

    Raises:
        BadInputError: nothing of the kind; the message says what is.
    """
    if "://" in text:
        return _parse_url(text)
    path = Path(f"/dev/video{text}") if text.isdecimal() else Path(text)
    if path.is_file():
        return Source("file", f"file:{path}", str(path))
    if path.is_char_device():
        return Source("device", str(path), str(path))
    if text.isdecimal() or text.startswith("/dev/"):
        cameras = ", ".join(sorted(str(each) for each in Path("/dev").glob("video*"))) or "none"
        raise BadInputError(f"There is no camera {path}; cameras of this machine: {cameras}.")
    raise BadInputError(
        f"{text!r} is no source: give the number of a camera (0), an rtsp:// or http:// address, or a video file."
    )


def read_command(source: Source, program: str, *, timeout_s: float) -> list[str]:
    """The ffmpeg command that writes every picture of a source as JPEG, as soon as it is there.

    Args:
        program: path of ffmpeg.
        timeout_s: how long the network may be silent.
    """
    options: dict[str, Any] = {"thread_type": "slice"}  # threads that take a frame each hold as many frames back
    patience_us = int(timeout_s * 1e6)
    if source.kind == "file":
        options |= {"re": None, "protocol_whitelist": PROTOCOLS, "format_whitelist": CONTAINERS}
    elif source.kind == "device":
        options |= {"format": "v4l2"}
    else:
        protocols, formats = _NETWORK[source.kind]
        options |= {"protocol_whitelist": protocols, "format_whitelist": formats, "analyzeduration": _ANALYZE_US}
        options |= {"rtsp_transport": "tcp", "timeout": patience_us} if source.kind == "rtsp" else {}
        options |= {"rw_timeout": patience_us} if source.kind == "http" else {}
    pictures = ffmpeg.input(source.address, **options)["V:0"].filter("scale", out_range="full")
    output = ffmpeg.output(
        pictures,
        "pipe:",
        format="mpjpeg",
        vcodec="mjpeg",
        fps_mode="passthrough",
        flush_packets=1,
        strict="unofficial",
        **{"q:v": _QUALITY},
    )
    command: list[str] = ffmpeg.compile(output, cmd=[program, "-nostdin", "-hide_banner", "-nostats"])
    return command


def read_pictures(source: Source, program: str, *, timeout_s: float, check: Callable[[], None]) -> Iterator[bytes]:
    """JPEG files of a source until it ends.

    Args:
        timeout_s: how long it may give nothing.
        check: called several times a second; raises to stop.

    Raises:
        TransientError: it could not be opened, broke off or stalled; the message says why.
        BadInputError: it crashed its decoder.
    """
    command = read_command(source, program, timeout_s=timeout_s)
    with FfmpegProcess(command, stall_timeout_s=timeout_s, check=check) as process:
        yield from read_parts(process.read_into)
        process.finish()
        if process.has_failed:
            raise TransientError(f"{source.label} gives no pictures: {hide_secrets(process.complaint())}.")


def hide_secrets(text: str) -> str:
    """The text without the names and passwords that addresses in it carry."""
    return _SECRET.sub("", text)


def _parse_url(text: str) -> Source:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadInputError(f"{hide_secrets(text)!r} is no address: {error}.") from error
    kind = _SCHEMES.get(parts.scheme.lower())
    if kind is None or not host:
        known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise BadInputError(f"{hide_secrets(text)!r} is no address of a stream: it begins with {known} and a host.")
    return Source(kind, text, hide_secrets(text))
