"""The engine on the real ONNX Runtime: what it refuses at the start, and what it does with what it loads."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from common.errors import ConfigurationError
from common.inference.audit import audit_profile
from common.inference.devices import Device
from common.inference.engine import Engine
from common.inference.ort import declared_inputs, load_session
from common.packs import find_pack
from common.ports import ModelSession
from common.settings import DetectSettings, EmbedSettings
from tests.conftest import ROOT
from tests.integration.made_networks import write_embedder, write_scrfd
from tests.integration.models_fixtures import MODELS, no_check, read_photograph, rebuild
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.pictures import RgbPictures
from workers.embed.embedder import Embedder

MINI = find_pack("mini", [MODELS])
DETECTOR, EMBEDDER = MINI.path(MINI.detector), MINI.path(MINI.embedder)
CROP = (3, 112, 112)

CUDA = Device("cuda").providers


def plain(session: ModelSession) -> ModelSession:
    return session


def profile_of(path: Path, *, side_px: int) -> list[dict[str, Any]]:
    """A real profile, of the CPU."""
    session = load_session(path, profile=True)
    ((name, _),) = session.inputs
    session.run({name: np.zeros((1, 3, side_px, side_px), np.float32)})
    return session.end_profile()


def pretend_cuda(events: list[dict[str, Any]], *, but: str = "") -> list[dict[str, Any]]:
    """A real profile in which CUDA did everything but the kernels of one operator."""
    moved: list[dict[str, Any]] = json.loads(json.dumps(events))
    for event in moved:
        if event["args"].get("provider") and event["args"]["op_name"] != but:
            event["args"]["provider"] = "CUDAExecutionProvider"
    return moved


def test_shapes_that_the_graph_leaves_open_are_known_after_the_warm_up(tmp_path: Path) -> None:
    path = write_scrfd(tmp_path / "scrfd.onnx", 9)
    assert load_session(path).outputs[0] == ("score_8", ("n", None, 1))
    lanes = Engine(DetectSettings()).load(path, plain, row=(3, 320, 320), batch_size=4)
    assert lanes.bulk.inputs == lanes.urgent.inputs == (("input.1", ("rows", 3, 320, 320)),)
    assert lanes.bulk.outputs[0] == ("score_8", ("rows", 3200, 1))
    assert lanes.lane(urgent=True) is lanes.urgent
    assert lanes.lane(urgent=False) is lanes.bulk


def test_both_lanes_are_one_network_whose_runs_are_counted_and_warm_up_is_not() -> None:
    sizes = []

    class Counting:
        def __init__(self, session: ModelSession) -> None:
            self._session = session
            self.inputs, self.outputs = session.inputs, session.outputs

        def run(self, feeds: dict[str, Any]) -> list[Any]:
            sizes.append(len(next(iter(feeds.values()))))
            return self._session.run(feeds)

    embedders = Engine(EmbedSettings(), count=Counting).load(
        EMBEDDER, partial(Embedder, spec=MINI.embedder), row=CROP, batch_size=4
    )
    assert sizes == []
    crops = np.random.default_rng(0).integers(0, 256, (6, 112, 112, 3)).astype(np.uint8)
    bulk, urgent = (lane.embed(crops, batch_size=4, check=no_check) for lane in (embedders.bulk, embedders.urgent))
    assert sizes == [4, 2, 4, 2]
    assert np.array_equal(bulk, urgent)
    alone = Embedder(load_session(EMBEDDER), MINI.embedder).embed(crops, batch_size=1, check=no_check)
    assert (bulk * alone).sum(axis=1).min() > 0.999999


@pytest.mark.parametrize("runs", [0, 1])
def test_a_detector_finds_the_same_with_the_engine_as_without(runs: int) -> None:
    photograph = read_photograph()[None]
    build = partial(Detector, spec=MINI.detector, size=InputSize.square(640))
    detectors = Engine(DetectSettings(runs=runs)).load(DETECTOR, build, row=(3, 640, 640), batch_size=1)
    found = detectors.bulk.detect(RgbPictures(photograph), batch_size=4, check=no_check)
    expected = build(load_session(DETECTOR)).detect(RgbPictures(photograph), batch_size=1, check=no_check)
    assert np.array_equal(found.boxes, expected.boxes)
    assert np.array_equal(found.landmarks, expected.landmarks)


def test_a_graph_that_mixes_its_rows_runs_them_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Opening the batch axis of a graph by force may give wrong numbers without any error."""
    path = write_embedder(tmp_path / "mixing.onnx", 64, flaw=0.01)
    spec = MINI.embedder.model_copy(update={"name": path.name, "dim": 64})
    lanes = Engine(EmbedSettings()).load(path, partial(Embedder, spec=spec), row=CROP, batch_size=8)
    assert "mixing.onnx gives a row other numbers in company than alone" in caplog.text
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3)).astype(np.uint8)
    alone = np.concatenate([lanes.bulk.embed(crop[None], batch_size=1, check=no_check) for crop in crops])
    assert np.array_equal(lanes.bulk.embed(crops, batch_size=8, check=no_check), alone)


def test_a_network_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    def poison(model: onnx.ModelProto) -> None:
        (weight,) = model.graph.initializer
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32("nan"), "weight"))

    path = rebuild(write_embedder(tmp_path / "good.onnx", 64), tmp_path / "poisoned.onnx", poison)
    with pytest.raises(ConfigurationError, match=r"poisoned.onnx gives numbers that are not finite"):
        Engine(EmbedSettings()).load(path, plain, row=CROP, batch_size=8)


def test_a_network_is_refused_by_what_it_gives_where_its_graph_does_not_say(tmp_path: Path) -> None:
    def swap(model: onnx.ModelProto) -> None:
        """The scores of two strides, whose number of places the graph leaves open."""
        first, second = list(model.graph.output)[:2]
        del model.graph.output[:2]
        model.graph.output.insert(0, first)
        model.graph.output.insert(0, second)

    path = rebuild(write_scrfd(tmp_path / "good.onnx", 9), tmp_path / "swapped.onnx", swap)
    build = partial(Detector, spec=MINI.detector, size=InputSize.square(320))
    build(load_session(path))
    with pytest.raises(ConfigurationError, match=r"score_16 is \('rows', 800, 1\), but scrfd gives 1 .* each of 1600"):
        Engine(DetectSettings()).load(path, build, row=(3, 320, 320), batch_size=2)


@pytest.mark.parametrize("row", [(3, 96, 96), (1, 112, 112), (3, 112)])
def test_a_network_that_cannot_take_its_rows_is_refused(row: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"rec_mini.onnx (cannot be run with an input of|takes)"):
        Engine(EmbedSettings()).load(EMBEDDER, plain, row=row, batch_size=8)


def test_a_fixed_batch_axis_of_more_than_one_row_is_refused(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "four.onnx", 64, batch=4)
    with pytest.raises(ConfigurationError, match=r"four.onnx takes .*export it with an open batch axis"):
        Engine(EmbedSettings()).load(path, plain, row=CROP, batch_size=8)


@pytest.mark.parametrize("device", ["cuda:0", "tensorrt:0"])
def test_an_accelerator_is_refused_rather_than_replaced_by_the_cpu(device: str) -> None:
    if Device.parse(device).providers[0] in onnxruntime.get_available_providers():
        pytest.skip(f"this onnxruntime has {device}")
    with pytest.raises(ConfigurationError, match=rf"{device} was asked for, but .* has only .*install onnxruntime-gpu"):
        Engine(EmbedSettings(device=device)).load(EMBEDDER, plain, row=CROP, batch_size=8)


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_half_precision_is_refused_where_it_would_mean_nothing(device: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"PRECISION=float16 is for TensorRT; on {device} .*numbers of its"):
        Engine(EmbedSettings(device=device, precision="float16")).load(EMBEDDER, plain, row=CROP, batch_size=8)


@pytest.mark.parametrize("path", [DETECTOR, EMBEDDER])
def test_inputs_are_known_before_anything_is_built(path: Path, tmp_path: Path) -> None:
    assert declared_inputs(path) == load_session(path).inputs
    with pytest.raises(ConfigurationError, match=r"absent.onnx cannot be loaded"):
        declared_inputs(tmp_path / "absent.onnx")


def test_lanes_know_how_many_rows_share_a_run(tmp_path: Path) -> None:
    engine = Engine(EmbedSettings())
    assert engine.load(EMBEDDER, plain, row=CROP, batch_size=4).batch_size == 4
    mixing = write_embedder(tmp_path / "mixing.onnx", 64, flaw=0.01)
    assert engine.load(mixing, plain, row=CROP, batch_size=4).batch_size == 1


@pytest.mark.parametrize(("path", "side_px"), [(DETECTOR, 640), (EMBEDDER, 112)])
def test_the_real_profile_of_a_cpu_never_passes_for_one_of_cuda(path: Path, side_px: int) -> None:
    with pytest.raises(ConfigurationError, match="not one kernel of the warm-up ran on CUDAExecutionProvider"):
        audit_profile(profile_of(path, side_px=side_px), CUDA, name=path.name)


@pytest.mark.parametrize("operator", ["Conv", "Upsample", "Transpose"])
def test_one_kind_of_kernel_that_fell_back_to_the_cpu_is_found_in_a_real_profile(operator: str) -> None:
    events = profile_of(DETECTOR, side_px=640)
    audit_profile(pretend_cuda(events), CUDA, name="all.onnx")
    with pytest.raises(ConfigurationError, match=rf"\d+ x {operator} on CPUExecutionProvider"):
        audit_profile(pretend_cuda(events, but=operator), CUDA, name="some.onnx")


def test_a_profile_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert profile_of(EMBEDDER, side_px=112)
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import sys
import numpy as np
from pathlib import Path
from common.errors import FacepipeError
from common.inference.engine import Engine
from common.inference.ort import declared_inputs, load_session
from common.settings import DetectSettings

path, limit, batch_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
engine = Engine(DetectSettings(memory_limit_bytes=limit))
try:
    session = engine.load(path, lambda session: session, row=(3, 640, 640), batch_size=batch_size).bulk
    print("loaded")
    ((name, _),) = session.inputs
    print(len(session.run({name: np.zeros((16, 3, 640, 640), np.float32)})[0]))
    load_session(path).run({name: np.zeros((16, 3, 640, 640), np.float32)})
except FacepipeError as error:
    print(type(error).__name__, error)
"""


def limited(limit_bytes: int, batch_size: int) -> list[str]:
    """What a process of its own prints; the limit holds for a whole process."""
    arguments = [sys.executable, "-c", LIMITED, str(DETECTOR), str(limit_bytes), str(batch_size)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    return done.stdout.splitlines()


def test_a_run_that_does_not_fit_into_the_memory_is_refused_at_the_start() -> None:
    (refusal,) = limited(64 << 20, 16)
    assert refusal.startswith("ConfigurationError")
    assert "(16, 3, 640, 640)" in refusal
    assert "raise MEMORY_LIMIT_BYTES" in refusal


def test_work_is_cut_into_runs_that_fit_and_all_networks_share_the_memory() -> None:
    loaded, rows, refusal = limited(64 << 20, 4)
    assert (loaded, rows) == ("loaded", "16")
    assert refusal.startswith("TransientError A run of the network did not fit into its memory")
