"""What TensorRT is told; it is not here to be asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.inference.tensorrt import EngineBuild, building_alone, folder_of

SCRFD = [("input.1", ("?", 3, "?", "?"))]
ROWS = [(3, 640, 640), (3, 384, 640), (3, 640, 384), (3, 320, 320)]


def test_one_range_holds_every_run_that_will_be() -> None:
    options = EngineBuild(ROWS, batch_size=64).options(SCRFD)
    assert options == {
        "trt_fp16_enable": "0",
        "trt_profile_min_shapes": "input.1:1x3x320x320",
        "trt_profile_opt_shapes": "input.1:64x3x640x640",
        "trt_profile_max_shapes": "input.1:64x3x640x640",
    }


def test_what_the_graph_fixes_stays_fixed() -> None:
    options = EngineBuild([(3, 112, 112)], batch_size=16).options([("input", (1, 3, "h", "w"))])
    assert options["trt_profile_max_shapes"] == "input:1x3x112x112"
    fixed = EngineBuild([(3, 112, 112)], batch_size=16).options([("input", (1, 3, 112, 112))])
    assert set(fixed) == {"trt_fp16_enable"}


@pytest.mark.parametrize("inputs", [SCRFD * 2, [("tokens", ("n", "m"))]])
def test_networks_whose_runs_are_not_known_get_no_range(inputs: list[tuple[str, tuple[int | str | None, ...]]]) -> None:
    assert set(EngineBuild(ROWS, batch_size=4).options(inputs)) == {"trt_fp16_enable"}
    assert set(EngineBuild().options(SCRFD)) == {"trt_fp16_enable"}


def test_half_precision_and_the_folder_of_engines(tmp_path: Path) -> None:
    options = EngineBuild(is_half=True, cache=tmp_path).options(SCRFD)
    assert options == {
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(tmp_path),
    }


def test_other_weights_never_meet_an_old_engine(tmp_path: Path) -> None:
    folders = set()
    for number, weights in enumerate([b"some", b"other", b"some"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "net.onnx").write_bytes(weights)
        folders.add(folder_of(tmp_path / "engines", tmp_path / str(number) / "net.onnx"))
    assert len(folders) == 2
    assert all(folder.parent == tmp_path / "engines" and folder.name.startswith("net-") for folder in folders)
    with pytest.raises(ConfigurationError, match=r"absent.onnx cannot be loaded: No such file"):
        folder_of(tmp_path, tmp_path / "absent.onnx")


OTHER = """
import fcntl, sys
with open(sys.argv[1], "a") as lock:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("free")
    except BlockingIOError:
        print("taken")
"""


def test_one_process_builds_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "engines"

    def ask() -> str:
        command = [sys.executable, "-c", OTHER, str(folder / "building.lock")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with building_alone(folder):
        assert ask() == "taken"
    assert ask() == "free"
    with building_alone(None):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    refusal = pytest.raises(
        ConfigurationError, match=r"engines are to be kept in .*home.* set FACEPIPE_HOME to another"
    )
    with refusal, building_alone(tmp_path / "home" / "engines"):
        pass
