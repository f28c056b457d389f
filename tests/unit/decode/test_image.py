"""Pictures of every kind that people send."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import BadInputError
from tests.media import Recipe, picture, quarters
from tests.unit.decode.conftest import MakeVideo
from workers.decode.image import decode_image, sniff_kind

MAX_PX = 1_000_000

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("RGB", "JPEG", {"quality": 95}),
    "progressive jpeg": ("RGB", "JPEG", {"quality": 95, "progressive": True}),
    "cmyk jpeg": ("CMYK", "JPEG", {"quality": 95}),
    "png": ("RGB", "PNG", {}),
    "png with alpha": ("RGBA", "PNG", {}),
    "png with a palette": ("P", "PNG", {}),
    "png with a palette of alpha": ("P", "PNG", {"transparency": bytes(range(200))}),
    "webp": ("RGB", "WEBP", {"quality": 95}),
    "lossless webp with alpha": ("RGBA", "WEBP", {"lossless": True}),
    "gif": ("P", "GIF", {}),
    "bmp": ("RGB", "BMP", {}),
    "tiff": ("RGB", "TIFF", {}),
    "avif": ("RGB", "AVIF", {"quality": 95}),
}


def save(folder: Path, image: Image.Image, file_format: str, **options: Any) -> str:
    """The name says nothing of the kind: uploads have no trustworthy names."""
    path = folder / "upload.txt"
    image.save(path, file_format, **options)
    return str(path)


def test_a_picture_may_be_taken_as_it_is_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path, picture(), "JPEG", quality=95, exif=exif)
    assert quarters(decode_image(path, max_px=MAX_PX)) == ["w", "r", "g", "b"]
    assert quarters(decode_image(path, max_px=MAX_PX, upright=False)) == ["r", "g", "b", "w"]


def refusal(path: str | Path, max_px: int = MAX_PX) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        decode_image(str(path), max_px=max_px)
    return caught.value


@pytest.mark.parametrize(("mode", "file_format", "options"), KINDS.values(), ids=KINDS.keys())
def test_every_kind_becomes_rgb(mode: str, file_format: str, options: dict[str, Any], tmp_path: Path) -> None:
    path = save(tmp_path, picture().convert(mode), file_format, **options)
    assert sniff_kind(path) == "image"
    pixels = decode_image(path, max_px=MAX_PX)
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == np.uint8
    assert quarters(pixels) == ["r", "g", "b", "w"]


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_is_spread_over_three_channels(mode: str, tmp_path: Path) -> None:
    pixels = decode_image(save(tmp_path, Image.new("L", (8, 8), 255).convert(mode), "PNG"), max_px=MAX_PX)
    assert pixels.tolist() == np.full((8, 8, 3), 255).tolist()


def test_16_bit_grey_keeps_its_upper_bits(tmp_path: Path) -> None:
    samples = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    pixels = decode_image(save(tmp_path, Image.fromarray(samples), "PNG"), max_px=MAX_PX)
    assert pixels[..., 0].reshape(-1).tolist() == list(range(256))


def test_transparency_is_dropped(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert decode_image(save(tmp_path, clear, "PNG"), max_px=MAX_PX)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, "rgbw"),
        (2, "grwb"),
        (3, "bwrg"),
        (4, "wbgr"),
        (5, "rwbg"),
        (6, "wrgb"),
        (7, "bgrw"),
        (8, "gbwr"),
        (99, "rgbw"),
    ],
)
def test_exif_orientation_is_applied(orientation: int, seen: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode_image(save(tmp_path, picture(), "JPEG", quality=95, exif=exif), max_px=MAX_PX)
    assert "".join(quarters(pixels)) == seen
    assert pixels.shape[:2] == ((60, 40) if orientation in {5, 6, 7, 8} else (40, 60))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_nobody_can_read_is_ignored(tmp_path: Path) -> None:
    path = save(tmp_path, picture(), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(64)))
    assert quarters(decode_image(path, max_px=MAX_PX)) == ["r", "g", "b", "w"]


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(file_format: str, tmp_path: Path) -> None:
    later = [Image.new("RGB", (60, 40), "black")] * 2
    path = save(tmp_path, picture(), file_format, save_all=True, append_images=later)
    assert sniff_kind(path) == "image"
    assert quarters(decode_image(path, max_px=MAX_PX)) == ["r", "g", "b", "w"]


def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = save(tmp_path, picture(), "PNG")
    assert refusal(path, max_px=60 * 40 - 1).code == "too_large"
    assert decode_image(path, max_px=60 * 40).shape == (40, 60, 3)
    bomb = tmp_path / "bomb.png"
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    header = struct.pack(">I", len(size)) + b"IHDR" + size + struct.pack(">I", zlib.crc32(b"IHDR" + size))
    bomb.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )
    assert sniff_kind(str(bomb)) == "image"
    error = refusal(bomb)
    assert error.code == "too_large"
    assert "60000x60000" in error.message


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "empty").code == "empty_file"
    assert sniff_kind(str(tmp_path / "empty")) == "video"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_picture_is_refused(file_format: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    path = Path(save(tmp_path, Image.fromarray(noise), file_format))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert refusal(path).code == "bad_media"


@pytest.mark.parametrize("content", [b"hello", b"\xff\xd8\xff", b"%!PS-Adobe-3.0\n", b"<svg></svg>"])
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "upload.jpg"
    path.write_bytes(content)
    assert refusal(path).code == "bad_media"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_video_is_told_by_its_bytes(suffix: str, video: MakeVideo, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(Path(video(Recipe(suffix=suffix))).read_bytes())
    assert sniff_kind(str(path)) == "video"
