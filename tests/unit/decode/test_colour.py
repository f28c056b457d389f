"""Planes and the matrix that turns them into RGB, against ffmpeg's own conversion."""

from pathlib import Path

import numpy as np
import pytest

from tests.media import run_ffmpeg
from workers.decode.colour import Colour

LINE = "  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), {}, 1920x1080, 2386 kb/s, 25 fps"


@pytest.mark.parametrize(
    ("said", "colour"),
    [
        ("yuv420p(progressive)", Colour("unknown", False)),
        ("yuv420p", Colour("unknown", False)),
        ("yuv420p(tv, bt709, progressive)", Colour("bt709", False)),
        ("yuv420p(pc, bt709, progressive)", Colour("bt709", True)),
        ("yuvj420p(pc, bt470bg/unknown/unknown)", Colour("bt470bg", True)),
        ("yuv420p(tv, bt2020nc/bt2020/arib-std-b67)", Colour("bt2020nc", False)),
        ("yuv420p(tv, smpte240m)", None),
        ("yuv420p10le(tv, bt2020nc/bt2020/smpte2084)", None),
        ("yuv422p(progressive)", None),
        ("gbrp(pc, gbr/unknown/unknown)", None),
    ],
)
def test_what_ffmpeg_says_about_colours(said: str, colour: Colour | None) -> None:
    assert Colour.parse(LINE.format(said)) == colour


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("span", ["tv", "pc"])
def test_the_matrix_is_that_of_ffmpeg(matrix: str, span: str, tmp_path: Path) -> None:
    """64 plain colours, looked at in their middle, so that the way chroma is interpolated does not matter."""
    colours = np.stack(np.meshgrid([16, 80, 160, 235], [16, 80, 160, 235], [16, 80, 160, 235]), -1).reshape(8, 8, 3)
    picture = np.kron(colours.astype(np.uint8), np.ones((8, 8, 1), np.uint8))
    source, planes = tmp_path / "in.rgb", tmp_path / "out.yuv"
    source.write_bytes(picture.tobytes())
    scale = f"scale=out_color_matrix={matrix}:out_range={span}:flags=accurate_rnd+full_chroma_int"
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-i", str(source)]
    run_ffmpeg(*given, "-vf", f"{scale},format=yuv420p", "-f", "rawvideo", str(planes))
    data = np.fromfile(planes, np.uint8)
    luma, chroma = data[:4096].reshape(64, 64), data[4096:].reshape(2, 32, 32).repeat(2, 1).repeat(2, 2)
    yuv1 = np.stack([luma, *chroma, np.ones((64, 64))], -1)
    rgb = yuv1 @ Colour(matrix, span == "pc").yuv_to_rgb.T
    assert np.abs(rgb - picture)[4::8, 4::8].max() < 4
