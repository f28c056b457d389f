"""Frames of a video as pictures, by the rules of video2frames."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.contracts import Extract
from common.errors import BadInputError, CancelledError
from tests.media import Recipe, read_stamp, run_ffmpeg
from tests.unit.decode.conftest import MakeVideo
from workers.decode.banner import Banner
from workers.decode.command import Decoder
from workers.decode.extract import Extracted, average_fps, every_nth, extract_frames, shrink
from workers.decode.packets import Packets, list_packets

NTSC_FPS = 30000 / 1001


def extract(
    path: str, decoder: Decoder, fps_max: float = 10, side: int = 64, **changes: Any
) -> tuple[Extracted, list[bytes]]:
    """Everything, with the pictures."""
    wanted = {"encoding": "jpeg", "max_bytes": 1 << 24, "into": "calls/x", **changes}
    pictures: list[bytes] = []
    found = extract_frames(
        path,
        decoder,
        Extract(fps_max, side, side, **wanted),
        max_side_px=1000,
        max_duration_s=100,
        write=pictures.append,
        check=lambda: None,
    )
    return found, pictures


@pytest.mark.parametrize(
    ("fps", "fps_max", "step"),
    [(60, 10, 6), (60, 1, 60), (60, 24, 2), (60, 40, 2), (60, 120, 1), (25, 10, 2), (35, 10, 4), (25, 0.5, 50)],
)
def test_one_of_so_many_frames_is_taken_halves_to_even(fps: float, fps_max: float, step: int) -> None:
    assert every_nth(fps, fps_max) == step


def test_any_positive_rate_has_a_step() -> None:
    assert every_nth(60, 5e-324) >= 60
    assert every_nth(60, 1e308) == 1


@pytest.mark.parametrize(
    ("size", "limit", "small"),
    [
        ((1280, 720), (640, 480), (640, 360)),
        ((1280, 720), (100, 1000), (100, 56)),
        ((1280, 720), (1000, 50), (89, 50)),
        ((1280, 720), (333, 333), (333, 187)),
        ((720, 1280), (640, 480), (270, 480)),
        ((641, 479), (640, 480), (640, 478)),
        ((1280, 720), (1, 1), (1, 1)),
        ((64, 48), (640, 480), (64, 48)),
        ((64, 48), (1 << 31, 1 << 31), (64, 48)),
    ],
)
def test_frames_are_made_smaller_to_whole_pixels(
    size: tuple[int, int], limit: tuple[int, int], small: tuple[int, int]
) -> None:
    frame = Image.new("RGB", size)
    assert shrink(frame, *limit).size == small
    assert frame.size == size


def test_frames_are_counted_and_each_is_the_one_it_says(decoder: Decoder, video: MakeVideo) -> None:
    found, pictures = extract(video(Recipe(frames=50)), decoder)
    assert (found.decoded, found.fps, found.indices) == (50, 25.0, tuple(range(0, 50, 2)))
    assert (found.width_px, found.height_px, set(found.sizes)) == (128, 96, {(64, 48)})
    assert found.ends == tuple(np.cumsum([len(picture) for picture in pictures]))
    images = [Image.open(io.BytesIO(picture)) for picture in pictures]
    assert {(image.format, image.size, image.info["jfif"]) for image in images} == {("JPEG", (64, 48), 257)}
    assert tuple(read_stamp(np.asarray(image)) for image in images) == found.indices


def test_plain_rgb_is_row_by_row(decoder: Decoder, video: MakeVideo) -> None:
    found, pictures = extract(video(Recipe(frames=50)), decoder, fps_max=5, side=1000, encoding="rgb")
    assert set(found.sizes) == {(128, 96)}
    frames = [np.frombuffer(picture, np.uint8).reshape(96, 128, 3) for picture in pictures]
    assert tuple(read_stamp(frame) for frame in frames) == found.indices == tuple(range(0, 50, 5))


def test_frames_are_counted_not_timed(decoder: Decoder, video: MakeVideo) -> None:
    kept = (0, 1, 2, 10, 11, 30, 31, 32, 33, 34)
    found, pictures = extract(video(Recipe(frames=40, kept=kept)), decoder, fps_max=1000, side=1000)
    assert found.indices == tuple(range(10))
    assert [read_stamp(np.asarray(Image.open(io.BytesIO(picture)))) for picture in pictures] == list(kept)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(suffix="mkv"), Recipe(suffix="avi", codec="mpeg4", bframes=0), Recipe(suffix="webm", codec="vp8")],
    ids=lambda recipe: recipe.suffix,
)
def test_other_containers_tell_their_rate_too(recipe: Recipe, decoder: Decoder, video: MakeVideo) -> None:
    found, _ = extract(video(recipe), decoder)
    assert (found.decoded, found.fps) == (50, 25.0)


def test_pictures_are_not_turned(decoder: Decoder, video: MakeVideo, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", "90", "-i", video(Recipe()), "-c", "copy", str(turned))
    found, _ = extract(str(turned), decoder)
    assert (found.width_px, found.height_px) == (128, 96)


def test_one_frame_in_thousands_waits_for_no_other(decoder: Decoder, video: MakeVideo) -> None:
    found, pictures = extract(video(Recipe(frames=2500, width_px=32, height_px=24)), decoder, fps_max=0.01)
    assert (found.decoded, found.indices, len(pictures)) == (2500, (0,), 1)


def packets(fps: float | None, durations: list[int], time_base: tuple[int, int]) -> Packets:
    stamps = np.arange(len(durations), dtype=np.int64)
    banner = Banner("mov", None, None, 0, has_audio=False, fps=fps)
    return Packets(banner, "h264", time_base, stamps, stamps, np.array(durations, np.int64), stamps == 0)


@pytest.mark.parametrize(
    ("said", "durations", "time_base", "fps"),
    [
        (60.0, [256] * 30, (1, 15360), 60.0),
        (29.97, [1001] * 30, (1, 30000), NTSC_FPS),
        (29.97, [33, 34, 33] * 10, (1, 1000), NTSC_FPS),  # milliseconds are too coarse: the rate of television
        (23.98, [0] * 30, (1, 1000), 24000 / 1001),
        (25.0, [0] * 30, (1, 1000), 25.0),
        (12.46, [0] * 30, (1, 1000), 12.46),
        (14.29, [50, 90, 70], (1, 1000), 3000 / 210),
    ],
)
def test_the_average_rate_is_exact_where_packets_tell_it(
    said: float, durations: list[int], time_base: tuple[int, int], fps: float
) -> None:
    assert average_fps(packets(said, durations, time_base)) == fps


def test_without_any_rate_there_is_nothing_to_count_by() -> None:
    with pytest.raises(BadInputError):
        average_fps(packets(None, [1, 1], (1, 25)))


def test_the_rate_in_the_banner_is_that_of_the_pictures(decoder: Decoder, video: MakeVideo) -> None:
    path = video(Recipe(audio_s=1, options=("-metadata", "title=x, 7 fps, 7 tbr")))
    assert list_packets(path, decoder, max_side_px=1000, max_duration_s=100, check=lambda: None).banner.fps == 25.0


@pytest.mark.parametrize("encoding", ["jpeg", "rgb"])
def test_more_bytes_than_allowed_are_refused(encoding: str, decoder: Decoder, video: MakeVideo) -> None:
    with pytest.raises(BadInputError) as refused:
        extract(video(Recipe(frames=50)), decoder, encoding=encoding, max_bytes=5000)
    assert refused.value.code == "too_large"


def test_what_is_no_video_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(BadInputError) as refused:
        extract(str(path), decoder)
    assert refused.value.code == "bad_media"


def test_whoever_stopped_waiting_is_not_served(decoder: Decoder, video: MakeVideo) -> None:
    def nobody_waits() -> None:
        raise CancelledError("Nobody waits.")

    wanted = Extract(10, 64, 64, "jpeg", 1 << 20, "calls/x")
    with pytest.raises(CancelledError):
        extract_frames(
            video(Recipe(frames=50)),
            decoder,
            wanted,
            max_side_px=1000,
            max_duration_s=100,
            write=lambda _: None,
            check=nobody_waits,
        )
