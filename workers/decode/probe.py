"""Learning what a video is and when each of its frames is shown, without decoding it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from common.errors import BadInputError
from common.types import Int64s
from workers.decode.announced import decode_times
from workers.decode.banner import cut_short
from workers.decode.clock import MediaClock
from workers.decode.command import Decoder
from workers.decode.packets import NO_STAMP, Packets, check_side, last_audio_s, list_packets, too_long
from workers.decode.stream import Timing, VideoInfo, VideoStream

_FIRST_FRAMES = 4
_MAX_CLASHES = 8

#: Containers that store a time with each packet. Elsewhere ffmpeg counts packets, anew after each seek.
_STAMPING_FORMATS = {
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "flv",
    "live_flv",
    "mpegts",
    "mpeg",
    "asf",
    "ogg",
    "mxf",
    "nut",
    "ivf",
    "wtv",
}
_UNKNOWN_RIFF_BYTES = 0xFFFFFFF0
_JUMP_S = 10.0
_JUMPING_FORMATS = {"mpegts", "mpeg"}
_MISSING_S = 1.0
_MISSING_SHARE = 0.05
_CORRUPT_SHARE = 0.25


def probe_video(
    path: str, decoder: Decoder, *, max_side_px: int, max_duration_s: float, check: Callable[[], None]
) -> VideoInfo:
    """List the frames of a video as a player shows them.

    The packets of the whole file are listed without decoding. Meanwhile the first frames are decoded, by the very chain
    that decodes later, to learn the upright size and to see that packets and frames agree; where they do not (fields in
    packets of their own, hidden frames) and where there are no usable time stamps, everything is decoded once.

    Args:
        path: a local file.
        max_side_px: longest side allowed.
        max_duration_s: longest duration allowed.
        check: called often, from two threads; raises to stop.

    Raises:
        BadInputError: `empty_file`, `bad_media`, `no_video_stream`, `truncated_media` or `too_large`.
        TransientError: ffmpeg was killed or stalled.
    """
    _check_size(Path(path))
    decode_first = partial(decode_times, path, decoder, limit=_FIRST_FRAMES, check=check)
    with ThreadPoolExecutor(1) as beside:
        stamped = beside.submit(decode_first, timing="stamped")  # as nearly all media is
        packets = list_packets(path, decoder, max_side_px=max_side_px, max_duration_s=max_duration_s, check=check)
    timing, listed = _list_frames(packets)
    first = stamped.result() if timing == "stamped" else decode_first(timing=timing)
    check_side(first.width_px, first.height_px, max_side_px)
    frame_pts = None if timing == "sequential" else _reconcile(listed, first.pts, shiftable=timing == "counted")
    if frame_pts is None and timing == "counted":
        timing = "sequential"
    if frame_pts is None:
        decoded = decode_times(path, decoder, timing=timing, limit=None, check=check)
        frame_pts = np.unique(decoded.pts)
    clock = _start_clock(packets, timing, frame_pts)
    first_s, last_s = clock.seconds(frame_pts[[0, -1]]).tolist()
    last_duration_s = _last_duration_s(packets, clock, frame_pts)
    end_s = last_s + last_duration_s
    if end_s > max_duration_s:
        raise too_long(max_duration_s)
    _check_declared_end(path, decoder, packets, clock=clock, end_s=end_s, check=check)
    stream = VideoStream(
        codec=packets.codec,
        format_name=packets.banner.format_name,
        width_px=first.width_px,
        height_px=first.height_px,
        rotation=packets.banner.rotation,
        fps=_average_fps(last_s - first_s, len(frame_pts), last_duration_s),
        duration_s=end_s,
        clock=clock,
        timing=timing,
        keyframe_gap_s=_keyframe_gap_s(packets, clock, end_s),
        colour=None if first.width_px % 2 or first.height_px % 2 else packets.banner.colour,
    )
    return VideoInfo(stream, frame_pts)


def _check_size(path: Path) -> None:
    """Refuse an empty file, and an AVI that is smaller than its first chunk says; ffmpeg does not tell of that."""
    size = path.stat().st_size
    if size == 0:
        raise BadInputError("The file is empty: upload it again.", "empty_file")
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"AVI ":
        declared = int.from_bytes(head[4:8], "little")
        if size < declared + 8 < _UNKNOWN_RIFF_BYTES:
            raise cut_short()


def _list_frames(packets: Packets) -> tuple[Timing, Int64s]:
    """Where frame times come from, and the frames that the packets promise, ascending; none if sequential."""
    nothing = np.zeros(0, np.int64)
    if packets.banner.format_name not in _STAMPING_FORMATS or _jumps(packets):
        return "sequential", nothing
    if (packets.pts != NO_STAMP).all():
        return "stamped", np.unique(packets.pts)  # a hidden frame shares its stamp with the next one shown
    if (packets.dts != NO_STAMP).all() and (np.diff(packets.dts) > 0).all():
        return "counted", packets.dts
    return "sequential", nothing


def _jumps(packets: Packets) -> bool:
    """Whether the stamps start anew somewhere, as in recordings put together.

    ffmpeg lists packets that would go back in time with the latest time reached, hence the runs of equal stamps.
    """
    dts = packets.dts[packets.dts != NO_STAMP]
    steps = np.diff(dts)
    if packets.banner.format_name in _JUMPING_FORMATS:
        numerator, denominator = packets.time_base
        if (steps * numerator > _JUMP_S * denominator).any():
            return True
    advances = np.flatnonzero(np.concatenate([[1], steps, [1]]))
    return bool((steps < 0).any() or (np.diff(advances) > _MAX_CLASHES).any())


def _reconcile(listed: Int64s, decoded: Int64s, *, shiftable: bool) -> Int64s | None:
    """The frames that exist, judged by the first ones decoded; None if packets do not tell.

    Frames before the first that decodes have lost what they refer to, as after a cut; a player does not show them.
    A few holes are damage; many mean that packets are not frames.
    """
    if shiftable:
        shifted: Int64s = listed + (decoded[0] - listed[0])
        return shifted if np.array_equal(shifted[: len(decoded)], decoded) else None
    shown: Int64s = listed[listed >= decoded[0]]
    expected: Int64s = shown[shown <= decoded[-1]]
    if not np.isin(decoded, expected).all() or len(decoded) < (1 - _CORRUPT_SHARE) * len(expected):
        return None
    return shown


def _start_clock(packets: Packets, timing: Timing, frame_pts: Int64s) -> MediaClock:
    """A clock that starts where a player's does: at the container's start, or at the first frame if that is earlier."""
    numerator, denominator = packets.time_base
    first_us = int(frame_pts[0]) * numerator * 1_000_000 // denominator
    start_us = 0 if timing == "sequential" else packets.banner.start_us
    return MediaClock(numerator, denominator, first_us if start_us is None else min(start_us, first_us))


def _last_duration_s(packets: Packets, clock: MediaClock, frame_pts: Int64s) -> float:
    """How long the last frame is shown: as its packet says, else as long as the average one."""
    last = packets.duration[int(np.argmax(packets.pts))] if (packets.pts != NO_STAMP).all() else packets.duration[-1]
    if last > 0:
        return int(last) * clock.numerator / clock.denominator
    times_s = clock.seconds(frame_pts[[0, -1]])
    return float(times_s[1] - times_s[0]) / max(1, len(frame_pts) - 1)


def _average_fps(span_s: float, frames: int, last_duration_s: float) -> float:
    if frames > 1:
        return round((frames - 1) / span_s, 4)
    return round(1 / last_duration_s, 4) if last_duration_s > 0 else 0.0


def _keyframe_gap_s(packets: Packets, clock: MediaClock, end_s: float) -> float:
    stamps = np.where(packets.pts != NO_STAMP, packets.pts, packets.dts)[packets.is_key]
    known = np.unique(stamps[stamps != NO_STAMP])
    if len(known) == 0:
        return end_s
    times_s = clock.seconds(known)
    return float(np.diff(np.append(times_s, max(end_s, float(times_s[-1])))).max())


def _check_declared_end(
    path: str, decoder: Decoder, packets: Packets, *, clock: MediaClock, end_s: float, check: Callable[[], None]
) -> None:
    """Refuse a file whose packets end long before the duration that it declares, as a cut download does."""
    declared_s = packets.banner.declared_s
    if declared_s is None:
        return
    allowed_s = max(_MISSING_S, _MISSING_SHARE * declared_s)
    if declared_s - end_s <= allowed_s:
        return
    if packets.banner.has_audio:
        end_s = max(end_s, last_audio_s(path, decoder, check) - clock.start_us / 1e6)
    if declared_s - end_s > allowed_s:
        raise BadInputError(
            f"The file declares {declared_s:.1f} s and ends after {end_s:.1f} s: it was cut short; upload it again.",
            "truncated_media",
        )
