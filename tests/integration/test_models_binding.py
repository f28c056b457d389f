"""Runs with memory of their own on the real ONNX Runtime; on a CPU, where they take the same way as on a GPU."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from common.errors import TransientError
from common.inference.binding import BoundRuns
from common.inference.devices import Device
from common.inference.ort import load_session
from common.types import Float32s
from tests.conftest import ROOT
from tests.integration.made_networks import write_scrfd
from tests.integration.models_fixtures import MODELS

EMBEDDER = MODELS / "mini" / "rec_mini.onnx"


def crops(seed: int, rows: int) -> Float32s:
    made: Float32s = np.random.default_rng(seed).normal(size=(rows, 3, 112, 112)).astype(np.float32)
    return made


def bound(*, kept_bytes: int) -> BoundRuns:
    session = onnxruntime.InferenceSession(str(EMBEDDER), providers=["CPUExecutionProvider"])
    return BoundRuns(session, Device("cpu"), ["embedding"], kept_bytes=kept_bytes)


def test_bound_runs_give_what_plain_ones_give() -> None:
    plain, binding = load_session(EMBEDDER), load_session(EMBEDDER, bind=True)
    for rows in (1, 4, 4, 3, 1, 4):
        feeds = {"input": crops(rows, rows)}
        assert np.array_equal(binding.run(feeds)[0], plain.run(feeds)[0])


def test_all_outputs_come_in_the_order_of_the_graph(tmp_path: Path) -> None:
    path = write_scrfd(tmp_path / "scrfd.onnx", 9)
    plain, binding = load_session(path), load_session(path, bind=True)
    ((name, _),) = plain.inputs
    for side_px in (320, 640, 320):
        feeds = {name: np.random.default_rng(side_px).normal(size=(2, 3, side_px, side_px)).astype(np.float32)}
        for ours, theirs in zip(binding.run(feeds), plain.run(feeds), strict=True):
            assert np.array_equal(ours, theirs)


def test_outputs_stay_as_they_are_when_the_memory_is_used_again_and_when_the_network_is_gone() -> None:
    binding = load_session(EMBEDDER, bind=True)
    first, second = (binding.run({"input": crops(seed, 4)})[0] for seed in (1, 2))
    kept = first.copy()
    assert not np.array_equal(first, second)
    for seed in range(3, 6):
        binding.run({"input": crops(seed, 4)})
    del binding
    assert np.array_equal(first, kept)


def test_rows_that_are_no_whole_array_are_read_as_they_lie() -> None:
    plain, binding = load_session(EMBEDDER), load_session(EMBEDDER, bind=True)
    every_other = crops(0, 8)[::2]
    assert not every_other.flags.c_contiguous
    (expected,) = plain.run({"input": np.ascontiguousarray(every_other)})
    assert np.array_equal(binding.run({"input": every_other})[0], expected)


def test_threads_side_by_side_get_their_own_answers() -> None:
    binding = load_session(EMBEDDER, bind=True)
    plain = load_session(EMBEDDER)
    feeds = [crops(seed, 1 + seed % 2) for seed in range(4)]
    wrong: list[int] = []

    def run(number: int) -> None:
        (expected,) = plain.run({"input": feeds[number]})
        for _ in range(5):
            (given,) = binding.run({"input": feeds[number]})
            if not np.array_equal(given, expected):
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_memory_is_kept_for_each_shape_and_the_oldest_goes_first() -> None:
    one, four = crops(0, 1), crops(0, 4)
    runs = bound(kept_bytes=four.nbytes + one.nbytes)
    for feed in (four, one, four, one):
        runs.run({"input": feed})
    assert runs.idle_bytes == four.nbytes + one.nbytes
    runs.run({"input": crops(0, 2)})  # what was idle for longest is that of four rows
    assert runs.idle_bytes == one.nbytes + 2 * one.nbytes


def test_the_latest_memory_is_kept_however_large_it_is() -> None:
    runs = bound(kept_bytes=0)
    for rows in (4, 4, 2):
        runs.run({"input": crops(0, rows)})
        assert runs.idle_bytes == crops(0, rows).nbytes


def test_what_the_graph_does_not_take_is_refused_and_the_next_run_works() -> None:
    binding = load_session(EMBEDDER, bind=True)
    for wrong in (crops(0, 1).astype(np.float64), crops(0, 1)[:, :1]):
        with pytest.raises(Exception, match="input"):
            binding.run({"input": wrong})
    assert binding.run({"input": crops(0, 1)})[0].shape == (1, 512)


LIMITED = """
import sys
import numpy as np
from pathlib import Path
from common.errors import TransientError
from common.inference.devices import Device
from common.inference.ort import load_session
from common.inference.warm_up import warm_up

session = load_session(Path(sys.argv[1]), memory_limit_bytes=64 << 20, bind=True)
((name, _),) = session.inputs
try:
    session.run({name: np.zeros((32, 3, 640, 640), np.float32)})
except TransientError as error:
    print(error.message[:52])
# the device says only which sizes are tried
warm = warm_up(session, (3, 640, 640), batch_size=32, device=Device("cuda"), name="some.onnx", by_memory=True)
print(warm.batch_size)
print(len(warm.run({name: np.zeros((warm.batch_size - 1, 3, 640, 640), np.float32)})[0]) == warm.batch_size - 1)
"""


def test_rows_of_a_run_become_fewer_until_it_fits_into_the_memory() -> None:
    """In a process of its own, for which alone a limit holds."""
    detector = next((MODELS / "mini").glob("det*.onnx"))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(detector)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    refusal, batch_size, is_cut = done.stdout.splitlines()
    assert refusal == "A run of the network did not fit into its memory; ra"
    assert 1 < int(batch_size) < 32
    assert is_cut == "True"


def test_the_words_of_accelerators_about_memory_are_known() -> None:
    """As onnxruntime, CUDA, cuBLAS, cuDNN and TensorRT write them; none of them is here to say so."""

    class Failing:
        def __init__(self, words: str) -> None:
            self._words = words

        def run(self, names: list[str], feeds: object) -> None:
            raise RuntimeError(self._words)

        def get_inputs(self) -> list[object]:
            return []

        get_outputs = get_inputs

    from common.inference.ort import OrtSession  # noqa: PLC0415

    for words in (
        "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
        "Available memory of 1 is smaller than requested bytes of 2 (bfc_arena.cc:376)",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
        "CUDNN failure 4003: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "Error Code 2: OutOfMemory (Requested size was 123 bytes.)",
    ):
        with pytest.raises(TransientError, match="did not fit into its memory"):
            OrtSession(Failing(words)).run({})  # type: ignore[arg-type]
