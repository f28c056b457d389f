import numpy as np
import pytest

from workers.embed.jpeg import THUMBNAIL_PX, decode_crop, encode_crop, encode_thumbnail


def a_gradient(side: int) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] * 255 / side
    return np.stack([rows, columns, np.full_like(rows, 90)], axis=-1).astype(np.uint8)


def test_a_crop_survives_its_file_with_its_colours_in_order() -> None:
    crop = a_gradient(112)
    data = encode_crop(crop)
    assert data[:2] == b"\xff\xd8"
    assert np.abs(decode_crop(data).astype(int) - crop).max() <= 6


@pytest.mark.parametrize("data", [b"", b"no jpeg"])
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a JPEG"):
        decode_crop(data)


@pytest.mark.parametrize(("side", "expected"), [(1, 1), (100, 100), (160, 160), (256, THUMBNAIL_PX)])
def test_a_thumbnail_is_reduced_but_never_enlarged(side: int, expected: int) -> None:
    assert decode_crop(encode_thumbnail(a_gradient(side))).shape == (expected, expected, 3)
