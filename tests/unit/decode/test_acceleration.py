"""Hardware decoding as far as a host without such hardware can tell."""

import logging
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from tests.media import Recipe
from tests.unit.decode.conftest import MakeVideo
from workers.decode.acceleration import choose_hwaccel, find_chosen, is_taken_by_hardware
from workers.decode.colour import PLANAR_FORMATS
from workers.decode.command import Decoder


@pytest.fixture
def opening(tmp_path: Path) -> str:
    """A program that opens vaapi's devices and no others; it stands for ffmpeg on another host."""
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\ncase "$*" in *vaapi=*) ;; *) echo "[X @ 0x1] Cannot load it" >&2; exit 1 ;; esac\n')
    program.chmod(0o755)
    return str(program)


def has_nvidia() -> bool:
    return Path("/dev/nvidiactl").exists()


def test_none_is_not_even_tried(tmp_path: Path) -> None:
    assert choose_hwaccel(str(tmp_path / "absent"), "none") == "none"


def test_auto_takes_what_opens(opening: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "facepipe.decode")
    assert choose_hwaccel(opening, "auto") == "vaapi"
    assert choose_hwaccel(opening, "vaapi") == "vaapi"
    assert "videos are decoded by vaapi" in caplog.text


def test_what_was_asked_for_and_does_not_open_stops_the_pool(opening: str) -> None:
    with pytest.raises(ConfigurationError, match=r"HWACCEL is cuda, but .* \(cuda: Cannot load it\).* set it to auto"):
        choose_hwaccel(opening, "cuda")


def test_a_program_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        choose_hwaccel(str(tmp_path / "absent"), "cuda")


def test_the_real_ffmpeg_refuses_an_absent_device_and_auto_goes_without(
    decoder: Decoder, caplog: pytest.LogCaptureFixture
) -> None:
    """With `-hwaccel auto` the ffmpeg of the wheel aborts where libva is missing; ours must not."""
    if has_nvidia() or Path("/dev/dri").exists():
        pytest.skip("this host may decode by hardware")
    caplog.set_level(logging.INFO, "facepipe.decode")
    for kind in ("cuda", "vaapi"):
        with pytest.raises(ConfigurationError, match=rf"HWACCEL is {kind}, but ffmpeg cannot open such a device"):
            choose_hwaccel(decoder.program, kind)
    assert choose_hwaccel(decoder.program, "auto") == "none"
    assert "videos are decoded on the processor, since no device opens (cuda: " in caplog.text


def test_ffmpeg_tells_what_its_decoder_settled_on(decoder: Decoder, video: MakeVideo) -> None:
    path = video(Recipe(frames=3))
    assert find_chosen(path, decoder, check=lambda: None) == "yuv420p"
    assert not is_taken_by_hardware(path, decoder, check=lambda: None)


def test_a_device_that_does_not_take_a_video_is_told_from_one_that_does(tmp_path: Path, video: MakeVideo) -> None:
    """Its words as libavcodec writes them, since no device is here: tried first, then given up, or not."""
    program = tmp_path / "ffmpeg"
    tried = "[h264 @ 0x1] Format yuv420p chosen by get_format().\\n[h264 @ 0x2] Format cuda chosen by get_format().\\n"
    given_up = "[h264 @ 0x2] Failed setup for format cuda\\n[h264 @ 0x2] Format yuv420p chosen by get_format().\\n"
    decoder = Decoder(str(program), hwaccel="cuda")
    for words, is_taken in ((tried, True), (tried + given_up, False)):
        program.write_text(f"#!/bin/sh\nprintf '{words}' >&2\n")
        program.chmod(0o755)
        assert is_taken_by_hardware(video(Recipe(frames=3)), decoder, check=lambda: None) == is_taken
        assert not is_taken_by_hardware(os.devnull, replace(decoder, hwaccel="none"), check=lambda: None)


@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_frames_that_a_device_hands_over_become_the_same_planes(levels: str, decoder: Decoder) -> None:
    """Devices give NV12, whose chroma is interleaved; the filters that follow must only take it apart."""
    planes = []
    for handed_over in ("", "format=nv12,"):
        filters = (
            f"format=yuv420p,setparams=range={levels},{handed_over}scale=322:242,format={'|'.join(PLANAR_FORMATS)}"
        )
        source = ("-f", "lavfi", "-i", "testsrc2=s=322x242:d=0.12", "-vf", filters, "-f", "rawvideo", "pipe:")
        done = subprocess.run(
            [decoder.program, "-nostdin", "-v", "error", *source],
            capture_output=True,
            check=True,
        )
        planes.append(done.stdout)
    assert len(planes[0]) == 3 * 322 * 242 * 3 // 2
    assert planes[0] == planes[1]
