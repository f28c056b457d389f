"""Decoding planned frames into reserved room."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import ffmpeg
import numpy as np
import pytest

from common.errors import BadInputError, CancelledError, TransientError
from common.ffmpeg import FfmpegProcess, version_of
from common.frames.files import FileFrameStore, FileFrameWriter
from common.records import Segment
from common.types import Frames, Uint8s
from tests.media import Recipe, read_stamp, run_ffmpeg
from tests.unit.decode.conftest import MakeVideo
from workers.decode.command import VIDEO, Decoder, compile_command, open_media
from workers.decode.probe import probe_video
from workers.decode.room import DecodedSegment
from workers.decode.segments import frames_layout, plan_segments
from workers.decode.spare import drop_expression
from workers.decode.stream import VideoInfo, VideoStream
from workers.decode.video import read_segments
from workers.detect.pictures import Window, open_pictures

VARYING = tuple(number for number in range(375) if number % 7 in {0, 1, 4} or 100 < number < 130)

#: Long enough that the later segments are reached by seeking.
SEEKABLE = {
    "h264 in mp4": Recipe(frames=375, gop=60),
    "h264 with open groups in mp4": Recipe(codec="h264-open-gop", frames=375, gop=60),
    "h264 with open groups in mkv": Recipe(suffix="mkv", codec="h264-open-gop", frames=375, gop=60),
    "h264 with open groups in ts": Recipe(suffix="ts", codec="h264-open-gop", frames=375, gop=60),
    "h264 without keyframes in mp4": Recipe(codec="h264-intra-refresh", frames=375, gop=60),
    "h264 in flv": Recipe(suffix="flv", frames=375, gop=60),
    "h264 in avi": Recipe(suffix="avi", frames=375, gop=60),
    "hevc in mkv": Recipe(suffix="mkv", codec="hevc", frames=375, gop=60),
    "hevc in ts": Recipe(suffix="ts", codec="hevc", frames=375, gop=60),
    "vp8 in webm": Recipe(suffix="webm", codec="vp8", frames=375, gop=60),
    "vp9 in webm": Recipe(suffix="webm", codec="vp9", frames=375, gop=60),
    "av1 in mp4": Recipe(codec="av1", frames=375, gop=60),
    "mpeg4 in avi": Recipe(suffix="avi", codec="mpeg4", frames=375, gop=60),
    "mpeg2 in ts": Recipe(suffix="ts", codec="mpeg2", frames=375, gop=25),
    "mpeg2 in mpg": Recipe(suffix="mpg", codec="mpeg2", frames=375, gop=25),
    "a varying rate in mp4": Recipe(frames=375, kept=VARYING, gop=40),
    "a varying rate in mkv": Recipe(suffix="mkv", frames=375, kept=VARYING, gop=40),
    "a varying rate in ts": Recipe(suffix="ts", frames=375, kept=VARYING, gop=40),
    "one frame": Recipe(frames=1),
}


class Reading:
    """Decodes segments of one video through a real frame store and keeps what arrives."""

    def __init__(self, path: str, decoder: Decoder, folder: Path) -> None:
        self.path = path
        self.decoder = decoder
        self.store = FileFrameStore(folder / "frames", 256 << 20)
        self.info: VideoInfo = probe_video(path, decoder, max_side_px=8192, max_duration_s=3600, check=lambda: None)
        self.stream: VideoStream = VideoStream.from_wire(self.info.stream.to_wire())

    def plan(self, *, sample_fps: float = 25.0, max_frames: int = 16) -> list[Segment]:
        return plan_segments(self.info, sample_fps=sample_fps, max_frames=max_frames, max_bytes=1 << 30)

    def make_room(self, segment: Segment) -> FileFrameWriter:
        size = {"width_px": self.stream.width_px, "height_px": self.stream.height_px}
        layout = frames_layout(len(segment.frame_indices), **size, planar=self.stream.colour is not None)
        return self.store.create(f"s{segment.ordinal}", layout, urgent=False, wait=lambda: None)

    def decode(
        self, segments: Sequence[Segment], check: Callable[[], None] = lambda: None
    ) -> tuple[dict[int, Frames], list[DecodedSegment]]:
        frames, results = {}, []
        rest = read_segments(self.path, self.stream, segments, self.decoder, make_room=self.make_room, check=check)
        for result in rest:
            results.append(result)
            if result.error is None:
                key = f"s{result.segment.ordinal}"
                with self.store.open(key) as arrays:
                    copies = {name: array.copy() for name, array in arrays.items()}
                    frames[result.segment.ordinal] = Frames.from_arrays(copies)
                self.store.release(key)
        assert list(self.store.keys()) == []
        return frames, results


def pictures(frames: Frames) -> list[Uint8s]:
    """RGB of each frame."""
    opened = open_pictures(frames)
    whole = Window(0, 0, opened.width_px, opened.height_px)
    return [opened.reduced(frame, whole, 1) for frame in range(len(opened))]


def same(left: Frames, right: Frames) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.to_arrays().values(), right.to_arrays().values(), strict=True))


def test_no_segments_give_nothing(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    assert Reading(video(Recipe()), decoder, tmp_path).decode([]) == ({}, [])


@pytest.mark.parametrize("recipe", SEEKABLE.values(), ids=SEEKABLE.keys())
def test_segments_hold_the_planned_frames_however_they_are_grouped(
    recipe: Recipe, video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    reading = Reading(video(recipe), decoder, tmp_path)
    segments = reading.plan()
    together, results = reading.decode(segments)
    assert [result.segment for result in results] == segments
    for segment in segments:
        frames = together[segment.ordinal]
        assert frames.frame_index.tolist() == segment.frame_indices.tolist()
        assert frames.media_time_ms.tolist() == segment.frame_times_ms.tolist()
        stamps = [read_stamp(pixels) for pixels in pictures(frames)]
        assert stamps == [recipe.numbers[index] for index in segment.frame_indices]
    for start in sorted({0, len(segments) // 2 - 1, len(segments) - 1}):
        alone, _ = reading.decode(segments[max(0, start) : start + 1])
        assert all(same(frames, together[ordinal]) for ordinal, frames in alone.items())
    pair, _ = reading.decode(segments[len(segments) // 2 : len(segments) // 2 + 3])
    assert all(same(frames, together[ordinal]) for ordinal, frames in pair.items())


@pytest.mark.parametrize("sample_fps", [0.7, 5.0, 12.0])
@pytest.mark.parametrize("kept", [None, VARYING], ids=["constant", "varying"])
def test_sampling_takes_the_frames_that_were_planned(
    sample_fps: float, kept: tuple[int, ...] | None, video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    recipe = Recipe(frames=375, kept=kept, gop=60 if kept is None else 40)
    reading = Reading(video(recipe), decoder, tmp_path)
    segments = reading.plan(sample_fps=sample_fps, max_frames=5)
    frames, _ = reading.decode(segments)
    planned = [recipe.numbers[index] for segment in segments for index in segment.frame_indices]
    assert [read_stamp(pixels) for one in frames.values() for pixels in pictures(one)] == planned
    assert planned[:2] == [0, next(n for n in recipe.numbers if n / 25 >= 1 / sample_fps - 1e-9)]


@pytest.mark.parametrize("codec", ["h264", "h264-open-gop", "h264-intra-refresh", "mpeg4"])
def test_no_frame_beside_a_keyframe_is_lost_to_a_seek_that_ends_too_late(
    codec: str, video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    reading = Reading(video(Recipe(codec=codec, frames=150, gop=60, bframes=2)), decoder, tmp_path)
    segments = reading.plan(max_frames=1)
    for number in range(117, 124):
        frames, _ = reading.decode([segments[number]])
        assert read_stamp(pictures(frames[number])[0]) == number


def test_a_run_of_more_frames_than_one_command_line_takes_is_split(
    video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    reading = Reading(video(Recipe(frames=1100, gop=250, width_px=64, height_px=48)), decoder, tmp_path)
    frames, _ = reading.decode(reading.plan(max_frames=256))
    assert [read_stamp(pixels) for one in frames.values() for pixels in pictures(one)] == list(range(1100))


@pytest.mark.parametrize("sample_fps", [1.0, 5.0])
@pytest.mark.parametrize("name", [name for name in SEEKABLE if "h264" in name or "varying" in name])
def test_packets_that_nobody_needs_change_no_pixel(
    name: str, sample_fps: float, video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    reading = Reading(video(replace(SEEKABLE[name], bframes=3)), decoder, tmp_path)
    segments = reading.plan(sample_fps=sample_fps, max_frames=5)
    spared, _ = reading.decode(segments)
    reading.decoder = replace(decoder, drops=False)
    everything, _ = reading.decode(segments)
    assert list(spared) == list(everything) == list(range(len(segments)))
    assert all(same(spared[ordinal], everything[ordinal]) for ordinal in everything)


def test_about_half_of_the_packets_of_a_video_with_b_frames_are_dropped(video: MakeVideo, decoder: Decoder) -> None:
    if version_of(decoder.program) < (7, 1):
        pytest.skip("ffmpeg filters packets of an input since 7.1")
    path = video(Recipe(frames=375, gop=60, bframes=3))
    stream = probe_video(path, decoder, max_side_px=8192, max_duration_s=3600, check=lambda: None).stream
    times_ms = list(range(0, 15_000, 200))
    expression = drop_expression(path, stream, decoder, times_ms, seek_s=None, check=lambda: None)
    counts = []
    for drop in (None, expression):
        media = open_media(path, decoder, timing=stream.timing, drop=drop)
        command = compile_command(
            ffmpeg.output(media[VIDEO], "pipe:", format="framecrc", fps_mode="passthrough"), decoder
        )
        with FfmpegProcess(command, stall_timeout_s=60, check=lambda: None) as process:
            counts.append(sum(not line.startswith(b"#") for line in process.lines()))
    assert counts[0] == 375
    assert 75 <= counts[1] < 0.75 * counts[0]


@pytest.mark.parametrize(
    "name",
    ["h264 in mp4", "h264 with open groups in mkv", "h264 with open groups in ts", "h264 in flv", "mpeg4 in avi"],
)
def test_later_segments_are_reached_by_seeking(name: str, video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    reading = Reading(video(SEEKABLE[name]), decoder, tmp_path)
    log = tmp_path / "log"
    reading.decoder = replace(decoder, program=script(tmp_path, f'echo "$*" >> {log}\nexec {decoder.program} "$@"'))
    segments = reading.plan()
    reading.decode(segments[-1:])
    lines = [line for line in log.read_text().splitlines() if line != "-version"]
    seeks_s = [float(line.split(" -ss ")[1].split()[0]) for line in lines]
    assert len(seeks_s) <= 2
    start_s = reading.stream.clock.start_us / 1e6
    assert seeks_s[-1] - start_s > segments[-1].start_ms / 1000 - 2 * (reading.stream.keyframe_gap_s + 1.1)


def test_segments_that_are_not_neighbours_are_read_too(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    reading = Reading(video(Recipe(frames=375, gop=60)), decoder, tmp_path)
    segments = reading.plan()
    frames, _ = reading.decode([segments[1], segments[15], segments[16]])
    firsts = [int(segments[ordinal].frame_indices[0]) for ordinal in (1, 15, 16)]
    assert [read_stamp(pictures(one)[0]) for one in frames.values()] == firsts


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_decoded_upright(degrees: int, video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", str(degrees), "-i", video(Recipe()), "-c", "copy", str(turned))
    reading = Reading(str(turned), decoder, tmp_path)
    frames, _ = reading.decode(reading.plan())
    turned_back = [np.rot90(pixels, -degrees // 90) for one in frames.values() for pixels in pictures(one)]
    assert [read_stamp(pixels) for pixels in turned_back] == list(range(50))


def test_odd_sizes_are_decoded_to_the_pixel(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    recipe = Recipe(suffix="mkv", width_px=127, height_px=95, options=("-pix_fmt", "yuv444p"))
    reading = Reading(video(recipe), decoder, tmp_path)
    frames, _ = reading.decode(reading.plan(sample_fps=5))
    assert frames[0].pixels.shape == (10, 95, 127, 3)
    assert [read_stamp(pixels) for pixels in pictures(frames[0])] == list(range(0, 50, 5))


def test_recordings_put_together_are_decoded_to_their_end(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    part = Path(video(Recipe(suffix="ts"))).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    reading = Reading(str(joined), decoder, tmp_path)
    segments = reading.plan()
    frames, _ = reading.decode(segments)
    assert [read_stamp(pixels) for one in frames.values() for pixels in pictures(one)] == [*range(50), *range(50)]
    last, _ = reading.decode(segments[-1:])
    assert same(last[segments[-1].ordinal], frames[segments[-1].ordinal])


def test_a_change_of_size_on_the_way_does_not_shift_a_byte(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    parts = [Recipe(suffix="ts"), Recipe(suffix="ts", width_px=256, height_px=192)]
    mixed = tmp_path / "mixed.ts"
    mixed.write_bytes(b"".join(Path(video(recipe)).read_bytes() for recipe in parts))
    reading = Reading(str(mixed), decoder, tmp_path)
    frames, _ = reading.decode(reading.plan())
    assert [read_stamp(pixels) for one in frames.values() for pixels in pictures(one)] == [*range(50), *range(50)]


def script(folder: Path, body: str) -> str:
    """A program that stands where ffmpeg is expected."""
    program = folder / "ffmpeg-script"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


def damage(path: str, broken: range, folder: Path) -> str:
    """Overwrite the pictures `broken` of a motion JPEG video with zeros."""
    data = bytearray(Path(path).read_bytes())
    starts = [at for at in range(len(data) - 2) if data[at : at + 3] == b"\xff\xd8\xff"]
    for number in broken:
        end = data.index(b"\xff\xd9", starts[number]) + 2
        data[starts[number] : end] = bytes(end - starts[number])
    damaged = folder / "damaged.mov"
    damaged.write_bytes(data)
    return str(damaged)


def test_a_segment_without_a_decodable_frame_fails_alone(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    path = damage(video(Recipe(suffix="mov", codec="mjpeg", frames=60)), range(35, 50), tmp_path)
    reading = Reading(path, decoder, tmp_path)
    frames, results = reading.decode(reading.plan(max_frames=10))
    assert [result.frames for result in results] == [10, 10, 10, 5, 0, 10]
    assert (
        [read_stamp(pixels) for pixels in pictures(frames[3])] == frames[3].frame_index.tolist() == list(range(30, 35))
    )
    assert [read_stamp(pixels) for pixels in pictures(frames[5])] == list(range(50, 60))
    error = results[4].error
    assert error is not None
    assert error.code == "bad_media"
    assert "1600" in error.message


def test_a_damaged_end_fails_alone(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    path = damage(video(Recipe(suffix="mov", codec="mjpeg", frames=60)), range(38, 60), tmp_path)
    reading = Reading(path, decoder, tmp_path)
    _, results = reading.decode(reading.plan(max_frames=10))
    assert [result.frames for result in results] == [10, 10, 10, 8, 0, 0]
    assert all(result.error is not None and result.error.code == "bad_media" for result in results[4:])


def test_a_segment_is_handed_over_before_the_next_one_has_room(
    video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    reading = Reading(video(Recipe()), decoder, tmp_path)
    events: list[str] = []
    note = events.append

    def make_room(segment: Segment) -> FileFrameWriter:
        note(f"room {segment.ordinal}")
        return reading.make_room(segment)

    for result in read_segments(
        reading.path, reading.stream, reading.plan(), decoder, make_room=make_room, check=lambda: None
    ):
        note(f"done {result.segment.ordinal}")
    assert events == [f"{what} {ordinal}" for ordinal in range(4) for what in ("room", "done")]


def test_a_segment_that_nobody_wants_any_more_is_passed_over(
    video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    reading = Reading(video(Recipe()), decoder, tmp_path)
    results = list(
        read_segments(
            reading.path,
            reading.stream,
            reading.plan(),
            decoder,
            make_room=lambda segment: None if segment.ordinal == 1 else reading.make_room(segment),
            check=lambda: None,
        )
    )
    assert [(result.frames, result.error) for result in results] == [(12, None), (0, None), (12, None), (13, None)]


def test_cancelling_stops_ffmpeg_and_gives_the_room_back(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    reading = Reading(video(Recipe(frames=375, gop=60)), decoder, tmp_path)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if list(reading.store.keys()):
            raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        list(
            read_segments(
                reading.path, reading.stream, reading.plan(), decoder, make_room=reading.make_room, check=check
            )
        )
    assert calls > 0
    assert list(reading.store.keys()) == []
    assert children() == []


def test_leaving_early_stops_ffmpeg_and_gives_the_room_back(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    reading = Reading(video(Recipe(frames=375, gop=60)), decoder, tmp_path)
    results = read_segments(
        reading.path, reading.stream, reading.plan(), decoder, make_room=reading.make_room, check=lambda: None
    )
    next(results)
    results.close()
    assert list(reading.store.keys()) == ["s0"]
    assert children() == []


def children() -> list[int]:
    """Processes that this one has started and not reaped."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in listed if "ffmpeg" in Path(f"/proc/{pid}/comm").read_text()]


@pytest.mark.parametrize(
    ("ending", "error"), [("kill -9 $$", TransientError), ("kill -TERM $$", TransientError), ("exit 1", None)]
)
def test_an_ffmpeg_that_somebody_kills_is_no_damage_to_the_media(
    ending: str, error: type[Exception] | None, video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    reading = Reading(video(Recipe()), decoder, tmp_path)
    reading.decoder = replace(decoder, program=script(tmp_path, ending))
    if error is not None:
        with pytest.raises(error):
            reading.decode(reading.plan())
    else:
        _, results = reading.decode(reading.plan())
        assert [type(result.error) for result in results] == [BadInputError] * 4


def test_pixels_are_those_of_the_reference_picture(shared_dir: Path, decoder: Decoder, tmp_path: Path) -> None:
    from PIL import Image  # noqa: PLC0415 - only where the data is present

    reading = Reading(str(shared_dir / "data" / "tae.mp4"), decoder, tmp_path)
    segments = reading.plan(sample_fps=5, max_frames=32)
    frames, _ = reading.decode(segments)
    found = {int(index): pictures(one)[row] for one in frames.values() for row, index in enumerate(one.frame_index)}
    for number in (0, 180, 480):
        with Image.open(shared_dir / "data" / f"tae-frame-{number:05}.jpg") as picture:
            expected = np.asarray(picture.convert("RGB")).astype(int)
        assert np.abs(found[number].astype(int) - expected).mean() < 4.0
