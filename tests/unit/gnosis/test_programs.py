"""The programs of predecessor 001: their flags, their input and what they print."""

import io
import json
import os
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import BadInputError
from deploy import compat
from deploy.gnosis import capture, encoder, processor
from deploy.gnosis.front import devices_of
from deploy.gnosis.people import list_people, read_people
from deploy.gnosis.processor import document
from tests.media import Recipe, make_video
from tests.unit.api.requests import a_face


def encoder_people(*arguments: str) -> dict[str, list[str]]:
    people = encoder.chosen_people(encoder.make_parser().parse_args(arguments))
    return {label: [path.name for path in paths] for label, paths in people.items()}


class Interrupted:
    """Finds a face, and then somebody presses Ctrl-C."""

    label = "a test"
    above = 0.3

    def __init__(self) -> None:
        self._is_first = True

    def find(self, picture: Path, *, embed: bool) -> list[dict[str, Any]]:
        if not self._is_first:
            raise KeyboardInterrupt
        self._is_first = False
        return [a_face()]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for name in ("O'Brien/2.jpg", "O'Brien/10.jpg", "ann/1.png", ".cache/x.jpg", "ann/.hidden", "ann/deeper/3.png"):
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "people" / "loose.jpg").write_bytes(b"")
    return tmp_path / "people"


LISTED = {"O'Brien": ["10.jpg", "2.jpg"], "ann": ["1.png"]}


class TestEncoderInput:
    def test_every_way_to_name_a_folder_means_the_same(self, people: Path) -> None:
        for flags in (
            ("-p", str(people)),
            ("-ip", str(people)),
            ("-i", str(people)),
            ("--input-data-path", str(people)),
            ("--print", str(people)),
            ("-p", str(people), "-p"),
            ("-p", "-ip", str(people)),
        ):
            assert encoder_people(*flags) == LISTED

    def test_json_is_kept_in_its_order(self) -> None:
        text = json.dumps({"b": ["2.jpg", "1.jpg"], "O'Ann": []})
        assert encoder_people("-i", text) == {"b": ["2.jpg", "1.jpg"], "O'Ann": []}
        assert encoder_people("--input_data", text) == encoder_people("--input-data", text)

    def test_print_without_a_value_prints(self, people: Path) -> None:
        options = encoder.make_parser().parse_args(["-p", str(people), "-p", "-o", "x.json"])
        assert (options.print, options.out) == ([str(people), ""], Path("x.json"))

    def test_no_input_is_told_in_the_words_of_the_original(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert encoder.main(["-p"]) == 2
        captured = capsys.readouterr()
        assert captured.err.strip() == "Please provide input data or input data path"
        assert captured.out == ""

    def test_no_output_and_two_inputs_are_told(self, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert encoder.main(["-ip", str(people)]) == 2
        assert "-o FILE" in capsys.readouterr().err
        assert encoder.main(["-ip", str(people), "-i", "{}", "-p"]) == 2

    def test_a_place_that_cannot_be_written_is_told_before_the_work(self, people: Path) -> None:
        assert encoder.main(["-ip", str(people), "-o", str(people)]) == 2
        assert encoder.main(["-ip", str(people), "-o", str(people / "none" / "x.json")]) == 2

    def test_an_interrupted_encoder_keeps_what_it_has(
        self, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "ds.json"
        out.write_text("before")
        monkeypatch.setattr(encoder, "open_analyser", lambda *_: nullcontext(Interrupted()))
        assert encoder.main(["-ip", str(people), "-o", str(out)]) == 130
        assert out.read_text() == "before"
        ((label, numbers),) = json.loads((tmp_path / "ds.json.partial").read_text())
        assert (label, len(numbers.split(","))) == ("O'Brien", 512)

    @pytest.mark.parametrize("text", ["", "{", "[]", "nowhere", '{"a": "1.jpg"}', '{"a": [1]}', "{'a': ['1.jpg']}"])
    def test_other_input_is_refused(self, text: str) -> None:
        with pytest.raises(BadInputError):
            read_people(text)

    def test_folders_without_people_are_refused(self, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "none"):
            with pytest.raises(BadInputError):
                list_people(folder)


class TestFlags:
    @pytest.mark.parametrize("process", ["detection", "recognition"])
    def test_the_processor_takes_every_flag_of_the_original(self, process: str) -> None:
        short = [process, "-i", "a.jpg", "-d", "d.json", "-t", "-v", "-s", "-p", "-dd", "-1", "-rd", "0"]
        long = [process, "--image", "a.jpg", "--dataset", "d.json", "--video_test", "--verbose", "--show_img"]
        long += ["--print_output", "--det-dev", "-1", "--rek-dev", "0"]
        options = processor.make_parser().parse_args(short)
        assert options == processor.make_parser().parse_args(long)
        assert (options.image, options.dataset) == (Path("a.jpg"), Path("d.json"))
        assert (devices_of(options).detector, devices_of(options).recogniser) == ("cpu", "cuda:0")

    def test_devices_are_left_to_the_settings_unless_named(self) -> None:
        assert not devices_of(processor.make_parser().parse_args(["detection"])).are_chosen
        assert devices_of(encoder.make_parser().parse_args(["-rd", "2"])).recogniser == "cuda:2"

    @pytest.mark.parametrize("device", ["x", "0.5", "-2", ""])
    def test_a_wrong_device_is_told(self, device: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            processor.main(["detection", "-i", "a.jpg", f"-dd={device}"])
        assert ended.value.code == 2
        assert "is no device" in capsys.readouterr().err

    def test_recognition_needs_a_data_set(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert processor.main(["recognition", "-i", "a.jpg"]) == 2
        assert "data set" in capsys.readouterr().err

    def test_a_source_that_is_not_there_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert processor.main(["detection", "-c", "no-such-file.mp4"]) == 2
        assert "no source" in capsys.readouterr().err

    def test_names_of_programs(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert compat.main(["--help"]) == 0
        text = capsys.readouterr().out
        assert all(name in text for name in compat.PROGRAMS)
        assert compat.main(["nothing"]) == compat.main([]) == 2


def test_the_document_is_that_of_the_routes() -> None:
    found = document([a_face(box=[1.0, 2.0, 3.0, 4.0])], ["Ann"])
    assert repr(found) == "{'faces': [{'label': 'Ann', 'bbox': [1.0, 2.0, 3.0, 4.0, 0.9]}]}"


def test_a_video_is_looked_at_frame_by_frame_without_a_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "video.mp4", Recipe(frames=5, fps=25))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("FACEPIPE_HOME", str(tmp_path / "home"))
    with Path(os.devnull).open("rb") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert processor.main(["detection", "-t", "-p", "-c", str(video)]) == 0
    captured = capsys.readouterr()
    assert ": frame_0: {'faces': []}" in captured.err
    assert captured.out == "FACE ANALITICS PROCESSOR\n"


class TestCapture:
    def jpegs(self, count: int) -> list[bytes]:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (64, 64, 64)).save(file, "JPEG")
        return [file.getvalue()] * count

    def test_keys_save_name_lighten_and_quit(self, tmp_path: Path) -> None:
        keys = iter(["s", "", "n", "g", "s", "g", "s", "q", "s"])
        saved = capture.capture(self.jpegs(9), lambda _: next(keys), tmp_path / "new", "ann", lambda: "O'Brien\n")
        assert [path.parent.name for path in saved] == ["ann", "O'Brien", "O'Brien"]
        for path in saved:
            name = path.parent.name
            assert path.is_file()
            assert path.stem.startswith(name)
            assert uuid.UUID(path.stem.removeprefix(name)).version == 4
        plain, light, again = (int(np.asarray(Image.open(path)).mean()) for path in saved)
        assert plain == again == 64
        assert light > 90

    @pytest.mark.parametrize("name", ["", " ", "../ann", "a/b", ".", "..", "a\0b"])
    def test_names_stay_inside_the_folder(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(BadInputError):
            capture.capture(self.jpegs(1), lambda _: "s", tmp_path, name, lambda: "")
        assert list(tmp_path.iterdir()) == []
