"""What the first runs find out, on networks of a line or two."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from common.errors import ConfigurationError, TransientError
from common.inference.devices import Device
from common.inference.warm_up import WarmSession, run_sizes, warm_up

CPU, GPU = Device("cpu"), Device("cuda")
Array = npt.NDArray[Any]


class Network:
    """Computes `function` of its rows."""

    outputs = (("y", ("n", None)),)

    def __init__(self, function: Callable[[Array], Array], *, rows: int | str = "n") -> None:
        self.inputs = (("x", (rows, "width")),)
        self.sizes: list[int] = []
        self._function = function

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.sizes.append(len(feeds["x"]))
        return [self._function(feeds["x"])]


def warm(network: Network, *, batch_size: int = 8, device: Device = CPU, by_memory: bool = False) -> WarmSession:
    return warm_up(network, (3,), batch_size=batch_size, device=device, name="some.onnx", by_memory=by_memory)


def fits(most: int) -> Callable[[Array], Array]:
    """A network whose runs of more rows than that do not fit into its memory."""

    def double(x: Array) -> Array:
        if len(x) > most:
            raise TransientError("it does not fit into its memory")
        return x * 2

    return double


def test_shapes_are_stated_as_they_were_found() -> None:
    session = warm(Network(lambda x: np.repeat(x, 2, axis=1)))
    assert session.inputs == (("x", ("rows", 3)),)
    assert session.outputs == (("y", ("rows", 6)),)
    assert session.shares_runs


def fails_on_two(x: Array) -> Array:
    if len(x) > 1:
        raise ValueError("made for one")
    return x


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x.mean(axis=0),  # a row depends on its company
        lambda x: x[::-1] * 2,  # rows are mixed up
        lambda x: np.concatenate([x, x]),  # the first axis counts something else
        lambda x: x.sum(axis=1),  # one number a row; could as well be one number a place
        fails_on_two,
    ],
)
def test_rows_that_are_not_independent_run_one_by_one(function: Callable[[Array], Array]) -> None:
    session = warm(Network(function))
    assert not session.shares_runs
    assert session.inputs == (("x", (1, 3)),)
    assert session.outputs == (("y", function(np.zeros((1, 3))).shape),)


@pytest.mark.parametrize(("rows", "batch_size"), [(1, 8), ("n", 1)])
def test_nothing_is_tried_with_two_rows_that_never_will_be(rows: int | str, batch_size: int) -> None:
    network = Network(fails_on_two, rows=rows)
    assert not warm(network, batch_size=batch_size).shares_runs
    assert set(network.sizes) == {1}


def test_a_cpu_is_warmed_at_its_extremes_and_takes_any_size() -> None:
    network = Network(lambda x: x)
    session = warm(network, batch_size=12)
    assert max(network.sizes) == 12
    session.run({"x": np.ones((5, 3), np.float32)})
    assert network.sizes[-1] == 5


def test_an_accelerator_sees_only_the_sizes_it_was_warmed_at() -> None:
    network = Network(lambda x: x * 2)
    session = warm(network, batch_size=12, device=GPU)
    warmed = set(network.sizes)
    assert warmed == set(run_sizes(12, GPU)) == {1, 2, 4, 8, 12}
    for rows in range(1, 13):
        feed = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        (output,) = session.run({"x": feed})
        assert np.array_equal(output, feed * 2)
    assert set(network.sizes) == warmed


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (16, (1, 2, 4, 8, 16))])
def test_sizes_of_an_accelerator(batch_size: int, sizes: tuple[int, ...]) -> None:
    assert run_sizes(batch_size, GPU) == sizes


def test_what_gives_no_numbers_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"some.onnx gives numbers that are not finite"):
        warm(Network(lambda x: x + np.nan))


def test_what_cannot_be_run_is_refused_with_the_reason() -> None:
    def fail(x: Array) -> Array:
        raise TransientError("it does not fit into its memory")

    with pytest.raises(ConfigurationError, match=r"cannot be run with an input of \(1, 3\): it does not fit"):
        warm(Network(fail))


def test_a_size_that_does_not_fit_is_refused_at_the_start() -> None:
    def small(x: Array) -> Array:
        if len(x) > 6:
            raise TransientError("it does not fit into its memory")
        return x

    with pytest.raises(ConfigurationError, match=r"an input of \(8, 3\)"):
        warm(Network(small), batch_size=8)


@pytest.mark.parametrize(("most", "chosen"), [(64, 64), (1000, 64), (63, 32), (20, 16), (16, 16), (2, 2)])
def test_by_memory_the_largest_run_that_fits_is_chosen(
    most: int, chosen: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "facepipe.inference")
    network = Network(fits(most))
    session = warm(network, batch_size=64, device=GPU, by_memory=True)
    assert session.batch_size == chosen
    assert ("64 rows of (3,) a run do not fit into the memory" in caplog.text) == (chosen < 64)
    warmed = set(network.sizes[-len(run_sizes(chosen, GPU)) :])
    network.sizes.clear()
    for rows in range(1, chosen + 1):
        (output,) = session.run({"x": np.ones((rows, 3), np.float32)})
        assert output.shape == (rows, 3)
    assert set(network.sizes) == warmed == set(run_sizes(chosen, GPU))


def test_by_memory_one_row_must_fit() -> None:
    with pytest.raises(ConfigurationError, match=r"an input of \(1, 3\): it does not fit"):
        warm(Network(fits(0)), batch_size=64, device=GPU, by_memory=True)


def test_by_memory_a_run_that_fails_for_another_reason_is_no_matter_of_size() -> None:
    def fail(x: Array) -> Array:
        if len(x) > 4:
            raise ValueError("a kernel is missing")
        return x

    with pytest.raises(ConfigurationError, match=r"an input of \(8, 3\): a kernel is missing"):
        warm(Network(fail), batch_size=8, device=GPU, by_memory=True)


def test_rows_that_cannot_share_a_run_are_not_tried_in_larger_ones() -> None:
    assert warm(Network(lambda x: x[::-1] * 2), batch_size=64, device=GPU, by_memory=True).batch_size == 1
