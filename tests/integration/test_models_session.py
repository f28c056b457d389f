"""Networks on the real ONNX Runtime."""

import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from common.errors import ConfigurationError
from common.inference.ort import load_session
from tests.integration.models_fixtures import MODELS

EMBEDDER = MODELS / "mini" / "rec_mini.onnx"


def test_a_session_names_its_inputs_and_outputs() -> None:
    session = load_session(EMBEDDER)
    assert session.inputs == (("input", ("batch", 3, 112, 112)),)
    assert session.outputs == (("embedding", ("batch", 512)),)


def test_runs_of_many_threads_give_what_one_gives() -> None:
    session = load_session(EMBEDDER, intra_op_threads=2)
    feeds = [np.random.default_rng(seed).normal(size=(3, 3, 112, 112)).astype(np.float32) for seed in range(4)]
    alone = [session.run({"input": feed})[0] for feed in feeds]
    together: dict[int, np.ndarray] = {}

    def run(number: int) -> None:
        for _ in range(3):
            together[number] = session.run({"input": feeds[number]})[0]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(alone):
        assert np.array_equal(together[number], expected)


@pytest.mark.parametrize("device", ["", "gpu", "cuda", "cuda:", "cuda:x", "cpu:0"])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a device"):
        load_session(EMBEDDER, device=device)


def test_cuda_is_refused_rather_than_replaced_by_the_cpu() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ConfigurationError, match=r"cuda:0 was asked for, but .* has only .*install onnxruntime-gpu"):
        load_session(EMBEDDER, device="cuda:0")


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(EMBEDDER.read_bytes()[:1000])
    for path in (tmp_path / "absent.onnx", tmp_path / "broken.onnx"):
        with pytest.raises(ConfigurationError, match=rf"{path.name} cannot be loaded on cpu"):
            load_session(path)
