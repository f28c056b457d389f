"""What people send by mistake, or on purpose: a clear refusal, and the next job runs."""

import io
import subprocess
from pathlib import Path

import httpx
import pytest
from PIL import Image

from common.ffmpeg import find_ffmpeg
from facepipe import Client
from tests.acceptance.conftest import LaunchedStack


def ffmpeg(*arguments: str) -> None:
    subprocess.run([find_ffmpeg(), "-v", "error", "-y", *arguments], check=True, stdin=subprocess.DEVNULL)


def a_video(path: Path, *options: str) -> Path:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=4", *options, str(path))
    return path


def a_picture(width: int, height: int, mode: str = "1") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


def text(_: Path) -> bytes:
    return b"This is no video, whatever its name says.\n" * 200


def truncated(folder: Path) -> bytes:
    """Its index at the end is cut off."""
    whole = a_video(folder / "whole.mp4").read_bytes()
    return whole[: len(whole) // 2]


def truncated_with_index(folder: Path) -> bytes:
    """Its index at the front promises more than is there."""
    whole = a_video(folder / "whole.mp4", "-movflags", "+faststart").read_bytes()
    return whole[: len(whole) // 2]


def audio_only(folder: Path) -> bytes:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=2", str(folder / "sound.mp4"))
    return (folder / "sound.mp4").read_bytes()


def audio_with_cover(folder: Path) -> bytes:
    (folder / "cover.png").write_bytes(a_picture(64, 64, "RGB"))
    ffmpeg("-f", "lavfi", "-i", "sine=duration=2", str(folder / "plain.mp3"))
    tags = ("-map", "0", "-map", "1", "-c:a", "copy", "-disposition:v", "attached_pic")
    ffmpeg("-i", str(folder / "plain.mp3"), "-i", str(folder / "cover.png"), *tags, str(folder / "cover.mp3"))
    return (folder / "cover.mp3").read_bytes()


def huge_picture(_: Path) -> bytes:
    """A few kilobytes that would be 400 million pixels."""
    return a_picture(20_000, 20_000)


def broken_picture(_: Path) -> bytes:
    return a_picture(400, 400, "RGB")[:-60]


def playlist(_: Path) -> bytes:
    return b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (text, "bad_media"),
        (truncated, "truncated_media"),
        (truncated_with_index, "truncated_media"),
        (audio_only, "no_video_stream"),
        (audio_with_cover, "no_video_stream"),
        (huge_picture, "too_large"),
        (broken_picture, "bad_media"),
        (playlist, "bad_media"),
    ],
)
def test_a_job_of_it_fails_with_a_reason_and_the_next_one_runs(
    stack: LaunchedStack, tmp_path: Path, make: object, code: str
) -> None:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(make(tmp_path))  # type: ignore[operator]
    with Client(stack.url) as client:
        bad = client.jobs.wait(client.jobs.submit(path).id, timeout_s=60)
        assert bad.state == "failed"
        assert bad.error is not None
        assert bad.error["code"] == code, bad.error
        good = client.jobs.wait(client.jobs.submit(a_video(tmp_path / "good.mp4")).id, timeout_s=60)
        assert good.state == "succeeded", good.error
        assert good.progress.frames_done == 20


def test_a_picture_of_one_pixel_has_no_faces(stack: LaunchedStack) -> None:
    with Client(stack.url) as client:
        job = client.jobs.wait(client.jobs.submit(a_picture(1, 1, "RGB")).id, timeout_s=60)
        assert (job.state, job.progress.faces) == ("succeeded", 0)


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (400, "empty_file", {"files": {"media": ("a.mp4", b"")}}),
        (404, "not_found", {"files": {"media": ("a.mp4", b"x")}, "data": {"gallery": "nobody"}}),
        (400, "bad_input", {"files": {"media": ("a.mp4", b"x")}, "data": {"min_similarity": "nan"}}),
        (400, "bad_input", {"files": {"media": ("a.mp4", b"x")}, "data": {"sample_fps": "0"}}),
        (400, "bad_input", {"files": {"film": ("a.mp4", b"x")}}),
        (400, "bad_input", {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=y"}}),
        (415, "unsupported_media_type", {"content": b"x", "headers": {"Content-Type": "video/mp4"}}),
        (400, "forbidden_url", {"json": {"media_url": "http://169.254.169.254/latest/meta-data"}}),
        (400, "forbidden_url", {"json": {"media_url": "http://localhost:5432/"}}),
    ],
)
def test_a_request_that_cannot_be_right_is_refused_in_the_one_shape(
    stack: LaunchedStack, status: int, code: str, request_: dict[str, object]
) -> None:
    answer = httpx.post(f"{stack.url}/v1/jobs", timeout=30, **request_)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document["error"]["code"] == code
    assert document["error"]["message"]
    assert document["request_id"]
