"""`facepipe models` on a real web server, with real processes that try and run real networks."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from common.packs import find_pack, load_manifest, verify
from deploy.models.__main__ import main
from tests.conftest import ROOT
from tests.unit.packs.networks import (
    constant_of_shape,
    describe,
    make_embedder,
    make_network,
    write_pack,
)
from tests.unit.packs.server import FileServer, serve_files


class Site:
    """A home, a catalogue with the pack `toy`, and the server it comes from."""

    def __init__(self, folder: Path, server: FileServer) -> None:
        self.folder = folder
        self.server = server
        self.home = folder / "home"
        self.models = self.home / "models"
        self.catalogue = folder / "catalogue"
        self.catalogue.mkdir()

    def offer(self, source: Path) -> None:
        """Publish the pack in a folder as an archive, and list it in the catalogue."""
        manifest = load_manifest(source / "manifest.json")
        archive = self.folder / "toy.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for file in manifest.files:
                packed.write(source / file.name, f"toy/{file.name}")
        data = archive.read_bytes()
        self.server.files["toy.zip"] = data
        download = {
            "urls": [f"{self.server.url}/toy.zip"],
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "sha256_origin": "this test",
            "unpack": True,
        }
        entry = {"manifest": manifest.model_dump(mode="json"), "downloads": [download]}
        (self.catalogue / "toy.json").write_text(json.dumps(entry))

    def models_command(self, *arguments: object) -> int:
        """Run `facepipe models …` in this process."""
        command, *rest = map(str, arguments)
        return main([command, "--catalogue", str(self.catalogue), *rest])

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Run it as a process of its own."""
        command, *rest = map(str, arguments)
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.models", command, "--catalogue", str(self.catalogue), *rest],
            cwd=ROOT,
            env={**os.environ, "FACEPIPE_HOME": str(self.home), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell that starts the tests in the background has them, and their children, ignore Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - the test has one thread yet
        )

    def version(self) -> str | None:
        """Version of the installed pack, which must then be whole."""
        if not (self.models / "toy").exists():
            return None
        pack = find_pack("toy", [self.models])
        verify(pack)
        return pack.manifest.version

    def leftovers(self) -> list[str]:
        """Whatever lies beside the pack."""
        return sorted(path.name for path in self.models.glob("*") if path.name != "toy")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serve_files() as server:
        made = Site(tmp_path, server)
        monkeypatch.setenv("FACEPIPE_HOME", str(made.home))
        write_pack(tmp_path / "new", version="2")
        made.offer(tmp_path / "new")
        yield made


@pytest.fixture
def old(site: Site, tmp_path: Path) -> Site:
    """A site where version 1 is installed."""
    write_pack(tmp_path / "old", {"rec.onnx": make_embedder(seed=1)}, version="1")
    shutil.copytree(tmp_path / "old", site.models / "toy")
    assert site.version() == "1"
    return site


def test_a_pack_is_installed_by_name(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.models_command("install", "toy", "--accept-license", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "name": "toy",
        "version": "2",
        "model_id": "toy-1",
        "directory": str(site.models / "toy"),
        "changed": True,
        "is_active": False,
        "provisional": False,
    }
    assert "Licence of toy: none" in err
    assert site.version() == "2"
    assert site.leftovers() in ([".downloads", ".lock"], [".lock"])
    assert list((site.models / ".downloads").glob("*")) == []


def test_what_is_here_already_is_left_alone(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.models_command("install", "toy", "--accept-license") == 0
    asked = len(site.server.ranges)
    capsys.readouterr()
    assert site.models_command("install", "toy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert len(site.server.ranges) == asked


def test_the_licence_must_be_accepted_before_anything_is_fetched(
    old: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(old.models / "toy")
    monkeypatch.setattr("sys.stdin", (tmp_path / "new" / "manifest.json").open())
    assert old.models_command("install", "toy") == 2
    err = capsys.readouterr().err
    assert "Not for use." in err
    assert "--accept-license" in err
    assert old.server.ranges == []


def test_an_interrupted_download_goes_on_where_it_stopped(site: Site) -> None:
    site.server.can_go_on.clear()
    first = site.start("install", "toy", "--accept-license")
    total = len(site.server.files["toy.zip"])
    wait_for(lambda: parts(site) == [total // 2], first)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=30)
    assert first.returncode == 130
    assert "what was fetched is kept" in err
    assert parts(site) == [total // 2]
    site.server.can_go_on.set()
    second = site.start("install", "toy", "--accept-license")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert site.server.ranges == ["", f"bytes={total // 2}-"]
    assert site.version() == "2"


def test_a_killed_install_leaves_the_old_pack_and_the_next_one_succeeds(old: Site) -> None:
    break_file(old.models / "toy" / "det.onnx")  # otherwise it is here already
    spoilt = (old.models / "toy" / "det.onnx").read_bytes()
    old.server.can_go_on.clear()
    process = old.start("install", "toy", "--accept-license")
    wait_for(lambda: parts(old) != [] and (old.models / ".staging").exists(), process)
    process.kill()
    process.communicate()
    assert (old.models / "toy" / "det.onnx").read_bytes() == spoilt
    old.server.can_go_on.set()
    assert old.models_command("install", "toy", "--accept-license") == 0
    assert old.version() == "2"
    assert ".staging" not in old.leftovers()


def parts(site: Site) -> list[int]:
    return [path.stat().st_size for path in (site.models / ".downloads").glob("*.part")]


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_without_network_the_answer_says_what_to_fetch_and_how_to_go_on(
    old: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = old.server.files.pop("toy.zip")
    break_file(old.models / "toy" / "det.onnx")
    assert old.models_command("install", "toy", "--accept-license") == 1
    err = capsys.readouterr().err
    assert "nothing was changed" in err
    assert f"{old.server.url}/toy.zip" in err
    assert hashlib.sha256(data).hexdigest() in err
    assert "facepipe models install toy --from FOLDER" in err
    (tmp_path / "carried").mkdir()
    (tmp_path / "carried" / "as-the-browser-named-it.zip").write_bytes(data)
    assert old.models_command("install", "toy", "--from", tmp_path / "carried", "--accept-license") == 0
    assert old.version() == "2"


def break_file(path: Path) -> None:
    path.write_bytes(b"\x00" + path.read_bytes()[1:])


def truncate(folder: Path) -> None:
    data = (folder / "rec.onnx").read_bytes()
    (folder / "rec.onnx").write_bytes(data[: len(data) // 2])


def repack(name: str, data: bytes | onnx.ModelProto) -> Callable[[Path], None]:
    """Put another file into a pack, with a manifest that vouches for it."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        manifest["files"] = [entry for entry in manifest["files"] if entry["name"] != name] + [describe(folder / name)]
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


def not_finite() -> onnx.ModelProto:
    model = make_embedder()
    model.graph.initializer[0].raw_data = b"\xff\xff\xff\x7f" * (len(model.graph.initializer[0].raw_data) // 4)
    return model


def lying_batch() -> onnx.ModelProto:
    model = make_embedder(batch=1)
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([1, -1], np.int64), "embedding_shape"))
    for port in (model.graph.input[0], model.graph.output[0]):
        port.type.tensor_type.shape.dim[0].dim_param = "n"
    return model


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "corrupt": (lambda folder: break_file(folder / "rec.onnx"), "rec.onnx is refused: it has SHA-256"),
    "truncated": (truncate, "rec.onnx is refused: it has"),
    "missing": (lambda folder: (folder / "rec.onnx").unlink(), "is neither in"),
    "manifest": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is not a valid manifest"),
    "cut off": (repack("rec.onnx", make_embedder().SerializeToString()[:-20]), "rec.onnx is refused"),
    "shape": (repack("rec.onnx", make_embedder(512)), "rec.onnx is refused as arcface: the output 'embedding'"),
    "terabytes": (repack("rec.onnx", constant_of_shape(1 << 20, 1 << 20)), "facepipe: rec.onnx is refused: "),
    "not finite": (repack("rec.onnx", not_finite()), "numbers that are not finite"),
    "batch": (repack("rec.onnx", lying_batch()), "came out as"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_bad_pack_is_refused_with_file_and_reason_and_the_old_one_stays(
    old: Site, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, reason = HOSTILE[kind]
    spoil(tmp_path / "new")
    assert old.models_command("install", "--from", tmp_path / "new", "--accept-license") == 1
    assert reason in capsys.readouterr().err
    assert old.version() == "1"
    assert old.leftovers() == [".lock"] or old.leftovers() == []


@pytest.mark.parametrize("fetched", [bytes(1000), b"", b"<html>Sign in</html>"])
def test_a_server_with_other_bytes_is_refused_and_the_old_pack_stays(
    old: Site, fetched: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (old.models / "toy" / "rec.onnx").unlink()
    old.server.files["toy.zip"] = fetched
    assert old.models_command("install", "toy", "--accept-license") == 1
    assert "is not the published file" in capsys.readouterr().err
    assert json.loads((old.models / "toy" / "manifest.json").read_text())["version"] == "1"


def test_weights_without_a_manifest_are_known_by_their_digests(site: Site, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    shutil.copy(tmp_path / "new" / "det.onnx", carried / "detector.onnx")
    assert site.models_command("install", "--from", carried, "--accept-license") == 1
    shutil.copy(tmp_path / "new" / "rec.onnx", carried / "model (1).onnx")
    (carried / "README.md").write_text("something else")
    assert site.models_command("install", "--from", carried, "--accept-license") == 0
    assert site.version() == "2"


def test_a_folder_without_the_pack_says_what_is_missing(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "carried").mkdir()
    shutil.copy(tmp_path / "new" / "det.onnx", tmp_path / "carried")
    assert site.models_command("install", "toy", "--from", tmp_path / "carried", "--accept-license") == 1
    err = capsys.readouterr().err
    assert "rec.onnx" in err
    assert "det.onnx" not in err
    assert "toy.zip" in err
    assert site.models_command("install", "toy", "--from", tmp_path / "nowhere", "--accept-license") == 1
    assert "does not exist" in capsys.readouterr().err


def test_attributes_that_only_run_one_by_one_are_welcome_and_shown_so(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pack(tmp_path / "new", {"rec.onnx": make_embedder(batch=1), "age.onnx": make_network({"fc1": (3,)})})
    assert site.models_command("install", "--from", tmp_path / "new", "--accept-license") == 0
    capsys.readouterr()
    assert site.models_command("show", "toy", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    graphs = {file["name"]: file["graph"] for file in shown["files"]}
    assert graphs["rec.onnx"]["is_batch_open"] is False
    assert graphs["age.onnx"] == {
        "input": "input ? x 3 x 32 x 32",
        "outputs": ["fc1 ? x 3"],
        "is_batch_open": True,
    }
    assert site.models_command("show", "toy") == 0
    assert "pictures run one by one" in capsys.readouterr().out


def test_list_and_verify_tell_what_is_here(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEPIPE_MODEL_PACK", "toy")

    def rows() -> dict[str, tuple[str, bool]]:
        assert site.models_command("list", "--json") == 0
        documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {row["name"]: (row["state"], row["is_active"]) for row in documents}

    assert rows()["toy"] == ("available", True)
    assert rows()["mini"] == ("installed", False)
    assert site.models_command("install", "toy", "--accept-license") == 0
    capsys.readouterr()
    assert rows()["toy"] == ("installed", True)
    assert site.models_command("verify", "toy", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "toy", "ok": True, "problem": None, "is_active": True}
    break_file(site.models / "toy" / "rec.onnx")
    assert site.models_command("verify", "toy") == 1
    assert "toy: FAILED" in capsys.readouterr().out
    (site.models / "toy" / "rec.onnx").unlink()
    assert rows()["toy"] == ("incomplete", True)
    (site.models / "toy" / "manifest.json").write_text("{")
    assert rows()["toy"] == ("broken", True)


def test_an_unknown_pack_is_refused_naming_the_known_ones(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.models_command("install", "nonsense", "--accept-license") == 1
    assert "there are toy" in capsys.readouterr().err
    assert site.models_command("install") == 2
    assert site.models_command("show", "nonsense") == 1
    assert "nonsense" in capsys.readouterr().err


def test_the_reference_pack_installs_from_its_folder(
    site: Site, shared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shared_dir / "models" / "reference"
    if not weights.is_dir():
        pytest.skip("the reference weights are absent: no models/reference in the shared folder")
    assert site.models_command("install", "--from", weights, "--accept-license") == 0
    pack = find_pack("reference", [site.models])
    verify(pack)
    assert all(pack.path(file).parent == site.models / "reference" for file in pack.manifest.files)
