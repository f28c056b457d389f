"""What a person writes becomes a source, and a source an ffmpeg command."""

from pathlib import Path

import pytest

from common.errors import BadInputError, TransientError
from common.ffmpeg import find_ffmpeg
from tests.media import Recipe, make_video
from workers.live.source import Source, hide_secrets, parse_source, read_command, read_pictures


def command_of(text: str) -> list[str]:
    return read_command(parse_source(text), "ffmpeg", timeout_s=2.5)


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_a_file_is_read_at_its_own_speed_and_opens_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a video.mp4"
    path.touch()
    source = parse_source(str(path))
    assert (source.kind, source.is_endless) == ("file", False)
    command = command_of(str(path))
    assert "-re" in command
    assert option(command, "-i") == f"file:{path}"
    assert option(command, "-protocol_whitelist") == "file,pipe"


@pytest.mark.parametrize(
    "address", ["rtsp://10.0.0.7:554/one", "RTSPS://cam/one", "http://cam/x.mjpg", "https://cam/x"]
)
def test_a_stream_never_opens_files_and_is_given_up_after_silence(address: str) -> None:
    source = parse_source(address)
    assert source.is_endless
    command = command_of(address)
    assert "file" not in option(command, "-protocol_whitelist").split(",")
    assert "concat" not in option(command, "-format_whitelist").split(",")
    assert option(command, "-timeout" if source.kind == "rtsp" else "-rw_timeout") == "2500000"


def test_a_device_is_opened_as_a_camera() -> None:
    source = Source("device", "/dev/video3", "/dev/video3")
    assert source.is_endless
    assert option(read_command(source, "ffmpeg", timeout_s=1), "-f") == "v4l2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("99", "There is no camera /dev/video99"),
        ("/dev/video99", "There is no camera /dev/video99"),
        ("nowhere.mp4", "'nowhere.mp4' is no source"),
        ("", "'' is no source"),
        (".", "'.' is no source"),
        ("file:///etc/passwd", "no address of a stream"),
        ("concat://a|b", "no address of a stream"),
        ("rtsp://", "no address of a stream"),
        ("http://[::1", "is no address"),
        ("http://host:port/", "is no address"),
    ],
)
def test_what_is_no_source_is_refused_with_what_is_one(text: str, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_source(text)
    assert said in caught.value.message


def test_passwords_are_not_shown() -> None:
    source = parse_source("rtsp://admin:secret@cam/one")
    assert source.address == "rtsp://admin:secret@cam/one"
    assert source.label == "rtsp://cam/one"
    assert hide_secrets("no http://a:b@c/d and rtsp://e@f") == "no http://c/d and rtsp://f"
    with pytest.raises(BadInputError) as caught:
        parse_source("ftp://admin:secret@cam/one")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_every_frame_of_a_file_comes_as_jpeg(tmp_path: Path, codec: str) -> None:
    path = make_video(tmp_path / "video.mkv", Recipe(codec=codec, frames=5, fps=50, bframes=0))
    source = parse_source(str(path))
    pictures = list(read_pictures(source, find_ffmpeg(), timeout_s=20, check=lambda: None))
    assert len(pictures) == 5
    assert all(picture.startswith(b"\xff\xd8") and picture.endswith(b"\xff\xd9") for picture in pictures)


def test_a_file_that_is_no_video_says_why(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(TransientError, match=r"text\.mp4 gives no pictures: "):
        list(read_pictures(parse_source(str(path)), find_ffmpeg(), timeout_s=20, check=lambda: None))
