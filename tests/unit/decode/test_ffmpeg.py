"""Finding ffmpeg, and running programs that misbehave as it might."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import BadInputError, CancelledError, ConfigurationError, TransientError
from common.ffmpeg import FfmpegProcess, SidePipe, find_ffmpeg
from tests.media import encoder_program


def nothing() -> None:
    """A check that never stops anything."""


def run(
    script: str, *, stall_timeout_s: float = 30.0, check: Callable[[], None] = nothing, side: SidePipe | None = None
) -> FfmpegProcess:
    return FfmpegProcess(["/bin/sh", "-c", script], stall_timeout_s=stall_timeout_s, check=check, side=side)


def open_files() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty; what was found before is forgotten."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    find_ffmpeg.cache_clear()
    return folder


def install(folder: Path, version: str, name: str = "ffmpeg") -> str:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho 'ffmpeg version {version} Copyright'\n")
    program.chmod(0o755)
    return str(program)


def test_without_one_on_path_the_wheel_is_used(bin_folder: Path) -> None:
    assert find_ffmpeg() == encoder_program()


@pytest.mark.parametrize("version", ["5.1", "5.1.9-0+deb12u1", "n7.0.2", "10.0", "N-119999-gabcdef"])
def test_the_one_on_path_goes_before_the_wheel(version: str, bin_folder: Path) -> None:
    program = install(bin_folder, version)
    assert find_ffmpeg() == program


@pytest.mark.parametrize("version", ["4.4.2-0ubuntu0.22.04.1", "n5.0.3"])
def test_one_on_path_that_is_too_old_is_passed_over(version: str, bin_folder: Path) -> None:
    install(bin_folder, version)
    assert find_ffmpeg() == encoder_program()


def test_the_configured_one_goes_before_all(bin_folder: Path) -> None:
    install(bin_folder, "7.0")
    mine = install(bin_folder, "6.0", "my-ffmpeg")
    assert find_ffmpeg(mine) == mine
    assert find_ffmpeg("my-ffmpeg") == mine


def test_a_configured_one_that_cannot_be_used_is_a_configuration_error(bin_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="FACEPIPE_FFMPEG"):
        find_ffmpeg("/nowhere/ffmpeg")
    with pytest.raises(ConfigurationError, match=r"older than ffmpeg 5\.1"):
        find_ffmpeg(install(bin_folder, "4.4", "old-ffmpeg"))
    broken = bin_folder / "broken-ffmpeg"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ConfigurationError, match="does not run"):
        find_ffmpeg(str(broken))


def test_output_is_read_into_the_room_given_and_short_only_at_the_end() -> None:
    room = bytearray(5)
    with run("printf abc; printf defg") as process:
        assert process.read_into(memoryview(room)) == 5
        assert bytes(room) == b"abcde"
        assert process.read_into(memoryview(room)) == 2
        assert process.read_into(memoryview(room)) == 0
        process.finish()
        assert not process.has_failed


def test_output_comes_in_lines_and_the_last_one_needs_no_end() -> None:
    with run("printf 'one\\ntwo\\n\\nthree'") as process:
        assert list(process.lines()) == [b"one", b"two", b"", b"three"]


def test_the_side_channel_is_read_beside_the_output() -> None:
    side = SidePipe()
    with run(f"printf 'a\\nb\\n' > /dev/fd/{side.write_fd}; printf out", side=side) as process:
        assert list(process.side_lines()) == [b"a", b"b"]
        assert list(process.lines()) == [b"out"]


def test_what_it_complains_of_is_kept_without_addresses_and_paths_and_within_bounds() -> None:
    script = (
        "for i in $(seq 30000); do echo noise $i; done >&2; echo '[h264 @ 0x55] file:/srv/a b.mp4: Broken.' >&2; exit 3"
    )
    with run(script) as process:
        process.finish()
        assert process.has_failed
        assert process.complaint() == "Broken"
        assert process.said.startswith("noise 1\n")
        assert len(process.said) < 100_000


def test_a_silent_program_is_stopped() -> None:
    with run("sleep 600", stall_timeout_s=0.3) as process, pytest.raises(TransientError, match="gave nothing"):
        process.read_into(memoryview(bytearray(1)))
    with run("exec >&-; sleep 600", stall_timeout_s=0.3) as process, pytest.raises(TransientError):
        process.finish()


def test_waiting_asks_whether_the_work_is_still_wanted() -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise CancelledError("cancelled")

    with run("sleep 600", check=check) as process, pytest.raises(CancelledError):
        list(process.lines())


def test_no_process_and_no_open_file_is_left_behind() -> None:
    before = open_files()
    with pytest.raises(ZeroDivisionError), run("echo $$; exec sleep 600", side=SidePipe()) as process:
        pid = int(next(process.lines()))
        assert Path(f"/proc/{pid}").exists()
        raise ZeroDivisionError
    assert not Path(f"/proc/{pid}").exists()
    assert open_files() == before


def test_a_program_that_cannot_be_started_is_a_configuration_error() -> None:
    before = open_files()
    with pytest.raises(ConfigurationError, match="cannot be started"):
        FfmpegProcess(["/nowhere/ffmpeg"], stall_timeout_s=1, check=nothing, side=SidePipe())
    assert open_files() == before


@pytest.mark.parametrize(
    ("signal_name", "error"),
    [("KILL", TransientError), ("TERM", TransientError), ("SEGV", BadInputError), ("ABRT", BadInputError)],
)
def test_a_killed_one_is_tried_again_and_a_crashed_one_is_not(signal_name: str, error: type[Exception]) -> None:
    with run(f"kill -{signal_name} $$") as process, pytest.raises(error, match=f"SIG{signal_name}"):
        process.finish()


def test_keys_pressed_in_a_terminal_do_not_reach_it() -> None:
    with run("cut -d' ' -f5 /proc/$$/stat; sleep 600") as process:
        assert int(next(process.lines())) != os.getpgrp()
