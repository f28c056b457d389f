"""Decoding by hardware: which there is, and whether it takes a video.

Found out here, because ffmpeg does not do it well: with `-hwaccel auto` it tries every library it was built with and
dies where one is missing, and with a device that does not open it refuses every video. A video whose codec the device
does not take it decodes on the processor, but without a word.
"""

import logging
import re
import subprocess
from collections.abc import Callable
from typing import Final, Literal

import ffmpeg

from common.errors import ConfigurationError
from common.ffmpeg import FfmpegProcess
from workers.decode.command import VIDEO, Decoder, compile_command, open_media

log = logging.getLogger("facepipe.decode")

_OPEN_TIMEOUT_S: Final = 60

#: What `auto` tries, in this order.
_KINDS: Final = ("cuda", "vaapi")

_CHOSEN: Final = re.compile(r"^\[\w+ @ \w+\] Format (\w+) chosen by get_format\(\)", re.MULTILINE)
_ORIGIN: Final = re.compile(r"^\[[^\]]*\] *")


def choose_hwaccel(program: str, wanted: Literal["none", "cuda", "vaapi", "auto"]) -> str:
    """The hardware that decodes: `none`, or a kind whose device opens on this host.

    Args:
        program: path of ffmpeg.
        wanted: the setting; `auto` takes the first that opens.

    Raises:
        ConfigurationError: the one that was asked for does not open.
    """
    if wanted == "none":
        return wanted
    reasons = {}
    for kind in _KINDS if wanted == "auto" else (wanted,):
        reason = _why_closed(program, kind)
        if reason is None:
            log.info("videos are decoded by %s, where it takes their codec", kind)
            return kind
        reasons[kind] = reason
    said = "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items())
    if wanted != "auto":
        raise ConfigurationError(
            f"FACEPIPE_DECODE__HWACCEL is {wanted}, but ffmpeg cannot open such a device ({said}). Repair its driver, "
            "or set it to auto, which takes what is there, or to none"
        )
    log.info("videos are decoded on the processor, since no device opens (%s)", said)
    return "none"


def is_taken_by_hardware(path: str, decoder: Decoder, *, check: Callable[[], None]) -> bool:
    """Whether the hardware decodes a video, by a try of its first frame; False for the processor.

    Args:
        path: a local file.
        decoder: as it will be used.
        check: called often; raises to stop.
    """
    if decoder.hwaccel == "none":
        return False
    return find_chosen(path, decoder, check=check) == decoder.hwaccel


def find_chosen(path: str, decoder: Decoder, *, check: Callable[[], None]) -> str:
    """Name of the format that ffmpeg's decoder settled on for the first frame; empty where it had no choice."""
    media = open_media(path, decoder, timing="sequential")
    output = ffmpeg.output(media[VIDEO], "pipe:", format="null", **{"frames:v": 1})
    command = compile_command(output.global_args("-loglevel", "debug"), decoder)
    with FfmpegProcess(command, stall_timeout_s=decoder.stall_timeout_s, check=check) as process:
        process.finish()
        # what was only tried comes before
        return next(reversed(_CHOSEN.findall(process.said)), "")


def _why_closed(program: str, kind: str) -> str | None:
    """What ffmpeg says to a device that it cannot open; None for one that it can."""
    source = ("-f", "lavfi", "-i", "nullsrc=s=64x64:d=0.04", "-f", "null", "-")
    command = (program, "-nostdin", "-hide_banner", "-v", "error", "-init_hw_device", f"{kind}=it", *source)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_OPEN_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = [_ORIGIN.sub("", line).strip() for line in done.stderr.decode(errors="replace").splitlines()]
    return next((line.rstrip(".") for line in lines if line), f"status {done.returncode}")[:200]
