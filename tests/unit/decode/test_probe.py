"""What a video is, and when each of its frames is shown."""

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from common.errors import BadInputError, CancelledError
from tests.media import Recipe, picture, run_ffmpeg
from tests.unit.decode.conftest import MakeVideo
from workers.decode.command import Decoder
from workers.decode.probe import probe_video
from workers.decode.stream import VideoInfo

VARYING = (0, 1, 2, 5, 6, 11, 20, 21, 22, 30, 31, 45, 46, 47, 48, 60)

#: Recipe and media time of its first frame: containers that cannot store early decoding times delay the picture.
KNOWN = {
    "h264 in mp4": (Recipe(), 0.0),
    "h264 in mov": (Recipe(suffix="mov"), 0.0),
    "h264 in mkv": (Recipe(suffix="mkv"), 0.0),
    "h264 in ts": (Recipe(suffix="ts"), 0.0),
    "h264 in flv": (Recipe(suffix="flv"), 0.0),
    "h264 in avi, without time stamps": (Recipe(suffix="avi"), 0.08),
    "hevc in mp4": (Recipe(codec="hevc"), 0.0),
    "hevc in ts": (Recipe(suffix="ts", codec="hevc"), 0.0),
    "vp8 in webm": (Recipe(suffix="webm", codec="vp8"), 0.0),
    "vp9 in webm": (Recipe(suffix="webm", codec="vp9"), 0.0),
    "av1 in mp4": (Recipe(codec="av1"), 0.0),
    "av1 in mkv": (Recipe(suffix="mkv", codec="av1"), 0.0),
    "mpeg4 in avi, without time stamps": (Recipe(suffix="avi", codec="mpeg4"), 0.04),
    "mpeg4 in avi, without b-frames": (Recipe(suffix="avi", codec="mpeg4", bframes=0), 0.0),
    "mpeg2 in mpg, with few time stamps": (Recipe(suffix="mpg", codec="mpeg2"), 0.0),
    "mjpeg in mov": (Recipe(suffix="mov", codec="mjpeg"), 0.0),
    "a single frame in mp4": (Recipe(frames=1), 0.0),
    "a single frame in mkv": (Recipe(suffix="mkv", frames=1), 0.0),
    "a single frame in ts": (Recipe(suffix="ts", frames=1), 0.0),
    "a varying rate in mp4": (Recipe(frames=61, kept=VARYING), 0.0),
    "a varying rate in mkv": (Recipe(suffix="mkv", frames=61, kept=VARYING), 0.0),
    "a varying rate in ts": (Recipe(suffix="ts", frames=61, kept=VARYING), 0.0),
    "a fragmented file": (Recipe(options=("-movflags", "frag_keyframe+empty_moov")), 0.0),
    "pictures that start late": (Recipe(audio_s=3.0, kept=tuple(range(10, 50))), 0.4),
}

RECIPES = pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN.keys())


def probe(path: str, decoder: Decoder, *, max_side_px: int = 8192, max_duration_s: float = 3600.0) -> VideoInfo:
    return probe_video(path, decoder, max_side_px=max_side_px, max_duration_s=max_duration_s, check=lambda: None)


def refusal(path: Path | str, decoder: Decoder, **limits: float) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        probe_video(
            str(path),
            decoder,
            max_side_px=int(limits.get("max_side_px", 8192)),
            max_duration_s=limits.get("max_duration_s", 3600.0),
            check=lambda: None,
        )
    return caught.value


@RECIPES
def test_every_frame_is_listed_with_its_time(case: tuple[Recipe, float], video: MakeVideo, decoder: Decoder) -> None:
    recipe, first_s = case
    info = probe(video(recipe), decoder)
    slack_s = 0.0006 if recipe.suffix in {"mkv", "webm", "flv"} else 1e-9  # those store whole milliseconds
    assert info.frame_times_s.tolist() == pytest.approx([first_s + time_s for time_s in recipe.times_s], abs=slack_s)
    assert (info.stream.width_px, info.stream.height_px, info.stream.rotation) == (128, 96, 0)
    if len(recipe.numbers) > 1:
        span_s = recipe.times_s[-1]
        assert info.stream.fps == pytest.approx((len(recipe.numbers) - 1) / span_s, rel=1e-3)
    assert info.stream.duration_s == pytest.approx(first_s + recipe.times_s[-1] + 0.04, abs=0.09)


@RECIPES
def test_frame_times_are_those_of_ffprobe(case: tuple[Recipe, float], video: MakeVideo, decoder: Decoder) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not on PATH; the known times are tested without it")
    path = video(case[0])
    entries = "frame=best_effort_timestamp:stream=time_base:format=start_time"
    command = ["ffprobe", "-v", "error", "-select_streams", "V:0", "-show_entries", entries, "-of", "json", path]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    base = Fraction(said["streams"][0]["time_base"])
    start = Fraction(said["format"].get("start_time", 0))
    stamps = [frame.get("best_effort_timestamp") for frame in said["frames"]]
    while stamps and stamps[-1] is None:  # it gives up on the last frames of files without presentation times
        stamps.pop()
    times_s = probe(path, decoder).frame_times_s.tolist()
    assert times_s[: len(stamps)] == pytest.approx([float(stamp * base - start) for stamp in stamps], abs=1e-9)
    assert len(times_s) == len(said["frames"])


@pytest.mark.parametrize(("degrees", "size"), [(0, (128, 96)), (90, (96, 128)), (180, (128, 96)), (270, (96, 128))])
def test_a_turned_video_is_upright(
    degrees: int, size: tuple[int, int], video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", str(degrees), "-i", video(Recipe()), "-c", "copy", str(turned))
    stream = probe(str(turned), decoder).stream
    assert (stream.width_px, stream.height_px) == size
    assert stream.rotation == degrees


def test_odd_sizes_are_kept(video: MakeVideo, decoder: Decoder) -> None:
    recipe = Recipe(suffix="mkv", width_px=127, height_px=95, options=("-pix_fmt", "yuv444p"))
    stream = probe(video(recipe), decoder).stream
    assert (stream.width_px, stream.height_px) == (127, 95)


def test_what_an_edit_list_cuts_away_is_not_listed(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    run_ffmpeg("-ss", "1.2", "-i", video(Recipe(frames=75)), "-c", "copy", str(cut))
    info = probe(str(cut), decoder)
    assert info.frame_times_s.tolist() == pytest.approx([frame / 25 for frame in range(45)])


def test_frames_that_lost_their_keyframe_are_not_listed(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    whole = Path(video(Recipe(suffix="ts", frames=75))).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[188 * 60 :])
    times_s = probe(str(cut), decoder).frame_times_s
    assert 0 < len(times_s) < 75
    assert len(times_s) % 25 == 0


def test_hidden_frames_are_not_listed(decoder: Decoder, tmp_path: Path) -> None:
    """VP8 keeps pictures for reference alone in packets of their own."""
    hidden = tmp_path / "hidden.webm"
    source = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2"]
    encoder = ["-c:v", "libvpx", "-b:v", "100k", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-cpu-used", "4"]
    log = ["-passlogfile", str(tmp_path / "log")]
    run_ffmpeg(*source, *encoder, "-pass", "1", *log, "-f", "null", "-")
    run_ffmpeg(*source, *encoder, "-pass", "2", *log, str(hidden))
    assert probe(str(hidden), decoder).frame_times_s.tolist() == pytest.approx([frame / 25 for frame in range(50)])


def test_recordings_put_together_go_on_counting(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    part = Path(video(Recipe(suffix="ts"))).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    info = probe(str(joined), decoder)
    assert info.stream.timing == "sequential"
    assert info.frame_times_s.tolist() == pytest.approx([frame / 25 for frame in range(100)], abs=1e-6)


def test_a_raw_stream_without_a_container_is_counted(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    raw = tmp_path / "raw.h264"
    run_ffmpeg("-i", video(Recipe()), "-c", "copy", str(raw))
    info = probe(str(raw), decoder)
    assert info.stream.timing == "sequential"
    assert info.frame_times_s.tolist() == pytest.approx([frame / 25 for frame in range(50)])


def test_cover_art_is_passed_over(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    cover, both = tmp_path / "cover.png", tmp_path / "both.mp4"
    picture(200, 200).save(cover)
    inputs = ["-i", str(cover), "-i", video(Recipe()), "-map", "0", "-map", "1"]
    run_ffmpeg(*inputs, "-c", "copy", "-disposition:v:0", "attached_pic", str(both))
    info = probe(str(both), decoder)
    assert (info.stream.codec, info.stream.width_px, len(info.frame_pts)) == ("h264", 128, 50)


def test_an_empty_file_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "empty", decoder).code == "empty_file"


def test_sound_alone_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    picture(64, 64).save(cover)
    tone = ["-f", "lavfi", "-i", "sine=duration=1"]
    run_ffmpeg(*tone, str(tmp_path / "tone.m4a"))
    run_ffmpeg(*tone, str(tmp_path / "tone.wav"))
    art = ["-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic"]
    run_ffmpeg(*tone, *art, str(tmp_path / "art.m4a"))
    run_ffmpeg(*tone, *art, str(tmp_path / "art.mp3"))
    for name in ("tone.m4a", "tone.wav", "art.m4a", "art.mp3"):
        assert refusal(tmp_path / name, decoder).code == "no_video_stream", name


@pytest.mark.parametrize(
    ("recipe", "share"),
    [
        (Recipe(frames=75), 0.4),  # the index is at the end and gone
        (Recipe(frames=75, options=("-movflags", "+faststart")), 0.6),
        (Recipe(frames=75, suffix="mkv"), 0.6),
        (Recipe(frames=75, suffix="webm", codec="vp9"), 0.6),
        (Recipe(frames=75, suffix="flv"), 0.5),
        (Recipe(frames=75, suffix="avi"), 0.5),
    ],
    ids=lambda value: str(value) if isinstance(value, float) else f"{value.codec} in {value.suffix} {value.options}",
)
def test_a_truncated_file_is_refused(
    recipe: Recipe, share: float, video: MakeVideo, decoder: Decoder, tmp_path: Path
) -> None:
    whole = Path(video(recipe)).read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: int(len(whole) * share)])
    assert refusal(cut, decoder).code == "truncated_media"


def test_sound_that_outlasts_the_pictures_is_no_truncation(video: MakeVideo, decoder: Decoder) -> None:
    assert len(probe(video(Recipe(audio_s=9.0)), decoder).frame_pts) == 50


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        bytes(5_000),
        b"ffconcat version 1.0\nfile video.mp4\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nvideo.ts\n#EXT-X-ENDLIST\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    ],
    ids=["text", "zeros", "concat script", "playlist", "manifest"],
)
def test_what_is_no_video_is_refused(content: bytes, video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    shutil.copy(video(Recipe()), tmp_path / "video.mp4")
    shutil.copy(video(Recipe(suffix="ts")), tmp_path / "video.ts")
    path = tmp_path / "upload"
    path.write_bytes(content)
    error = refusal(path, decoder)
    assert error.code == "bad_media"
    assert str(tmp_path) not in error.message


def test_sides_and_durations_beyond_the_limit_are_refused(video: MakeVideo, decoder: Decoder) -> None:
    path = video(Recipe())
    assert refusal(path, decoder, max_side_px=127).code == "too_large"
    assert refusal(path, decoder, max_duration_s=1.9).code == "too_large"
    assert len(probe(path, decoder, max_side_px=128, max_duration_s=2.0).frame_pts) == 50


def test_probing_stops_when_the_work_is_cancelled(video: MakeVideo, decoder: Decoder) -> None:
    def check() -> None:
        raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        probe_video(video(Recipe()), decoder, max_side_px=8192, max_duration_s=3600, check=check)


def test_a_title_cannot_forge_what_ffmpeg_says(video: MakeVideo, decoder: Decoder, tmp_path: Path) -> None:
    titled = tmp_path / "titled.mkv"
    lie = "x\n  Duration: 09:00:00.00, start: 5.000000, bitrate: 1 kb/s\nmatches no streams moov"
    run_ffmpeg("-i", video(Recipe()), "-c", "copy", "-metadata", f"title={lie}", str(titled))
    info = probe(str(titled), decoder)
    assert info.frame_times_s[0] == 0.0
    assert info.stream.duration_s == pytest.approx(2.0, abs=0.01)


def test_the_sample_video_has_its_555_frames(shared_dir: Path, decoder: Decoder) -> None:
    info = probe(str(shared_dir / "data" / "tae.mp4"), decoder)
    assert info.frame_times_s.tolist() == pytest.approx([frame / 60 for frame in range(555)])
    assert (info.stream.width_px, info.stream.height_px, info.stream.codec) == (1280, 720, "h264")
