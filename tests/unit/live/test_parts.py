"""ffmpeg's mpjpeg output is cut where its headers say."""

import io

import pytest

from common.errors import TransientError
from workers.live.parts import read_parts


def parts(data: bytes) -> list[bytes]:
    return list(read_parts(io.BytesIO(data).readinto))


def part(picture: bytes, length: int | None = None) -> bytes:
    size = len(picture) if length is None else length
    return b"--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: %d\r\n\r\n%b\r\n" % (size, picture)


def test_nothing_has_no_pictures() -> None:
    assert parts(b"") == []


def test_pictures_may_hold_what_looks_like_a_header() -> None:
    pictures = [b"\xff\xd8one\r\n\r\n--ffmpeg\r\n", b"\n", b"\xff\xd8" + b"x" * 100_000]
    assert parts(b"".join(map(part, pictures)) + b"--ffmpeg\r\n") == pictures


def test_the_header_is_read_in_any_case_of_letters() -> None:
    assert parts(b"--b\nCONTENT-LENGTH:3\n\nabc") == [b"abc"]


def test_a_picture_that_is_cut_off_is_left_out() -> None:
    assert parts(part(b"whole") + part(b"half", length=9)) == [b"whole"]


@pytest.mark.parametrize("data", [b"\x00" * 1000, part(b"", length=999_999_999)])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(TransientError):
        parts(data)
