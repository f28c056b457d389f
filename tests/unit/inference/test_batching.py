"""Threads that share a network; runs are held and released by the tests, never by the clock."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from common.errors import TransientError
from common.inference.batching import Batcher, LaneSession

#: Far longer than any test: a run that waits for it is one that hangs.
FOREVER_S = 600.0
BAD = -1.0

pytestmark = pytest.mark.timeout(30)


class Doubling:
    """Doubles its rows; fails on a row of `BAD`, and on more rows than `most`. Held runs wait to be released."""

    inputs = (("x", ("rows", 2)),)
    outputs = (("y", ("rows", 2)),)

    def __init__(self, *, most: int = 1000) -> None:
        self.runs: list[list[float]] = []
        self.side_by_side = 0
        self.most_side_by_side = 0
        self._most = most
        self._lock = threading.Lock()
        self._holds: queue.Queue[tuple[threading.Event, threading.Event]] = queue.Queue()

    def hold(self) -> tuple[threading.Event, threading.Event]:
        """The next run not yet held sets the first event when it begins, and waits for the second."""
        events = (threading.Event(), threading.Event())
        self._holds.put(events)
        return events

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        rows = feeds["x"]
        with self._lock:
            self.runs.append(rows[:, 0].tolist())
            self.side_by_side += 1
            self.most_side_by_side = max(self.most_side_by_side, self.side_by_side)
        try:
            try:
                begun, released = self._holds.get_nowait()
            except queue.Empty:
                pass
            else:
                begun.set()
                assert released.wait(20)
            if (rows == BAD).any():
                raise ArithmeticError(f"bad row among {len(rows)}")
            if len(rows) > self._most:
                raise MemoryError(f"{len(rows)} rows")
            return [rows * 2]
        finally:
            with self._lock:
                self.side_by_side -= 1


class Crew:
    """Threads that submit, and what they got."""

    def __init__(self, batcher: Batcher, network: Doubling, pool: ThreadPoolExecutor) -> None:
        self._batcher = batcher
        self._network = network
        self._pool = pool

    def submit(self, *values: float, urgent: bool = False, width: int = 2) -> "Future[list[float]]":
        """Submit rows from another thread; returns once they wait or run."""
        before = self._state()
        future = self._pool.submit(run, self._batcher, values, urgent=urgent, width=width)
        pause = threading.Event()
        while self._state() == before and not future.done():
            pause.wait(0.001)
        return future

    def _state(self) -> tuple[int, int]:
        """Submissions that nobody runs yet, and runs so far."""
        return sum(map(len, self._batcher._waiting.values())), len(self._network.runs)


def run(batcher: Batcher, values: Sequence[float], *, urgent: bool = False, width: int = 2) -> list[float]:
    rows = np.repeat(np.array(values, np.float32)[:, None], width, axis=1)
    (doubled,) = LaneSession(batcher, urgent=urgent).run({"x": rows})
    assert doubled.shape == rows.shape
    return [float(value) for value in doubled[:, 0]]


@pytest.fixture
def network() -> Doubling:
    return Doubling()


@pytest.fixture
def make_crew() -> Iterator[Callable[[Batcher], Crew]]:
    with ThreadPoolExecutor(16) as pool:
        yield lambda batcher: Crew(batcher, batcher.session, pool)


@pytest.mark.parametrize("runs", [None, 1, 3])
def test_who_is_alone_never_waits(network: Doubling, runs: int | None) -> None:
    batcher = Batcher(network, batch_size=8, runs=runs, max_wait_s=FOREVER_S)
    for value in range(3):
        assert run(batcher, [value]) == [2 * value]
    assert network.runs == [[0], [1], [2]]


@pytest.mark.parametrize("runs", [None, 1])
def test_a_run_has_at_most_so_many_rows(network: Doubling, runs: int | None) -> None:
    batcher = Batcher(network, batch_size=4, runs=runs)
    assert run(batcher, range(10)) == [2 * value for value in range(10)]
    assert list(map(len, network.runs)) == [4, 4, 2]


def test_what_waits_is_joined_in_order(network: Doubling, make_crew: Callable[[Batcher], Crew]) -> None:
    batcher = Batcher(network, batch_size=5, runs=1)
    crew = make_crew(batcher)
    begun, released = network.hold()
    first = crew.submit(1)
    assert begun.wait(20)
    others = [crew.submit(10, 11), crew.submit(20), crew.submit(30, 31, 32), crew.submit(40)]
    released.set()
    assert first.result(20) == [2]
    assert [other.result(20) for other in others] == [[20, 22], [40], [60, 62, 64], [80]]
    assert network.runs == [[1], [10, 11, 20], [30, 31, 32, 40]]


def test_rows_of_another_shape_have_a_run_of_their_own(network: Doubling, make_crew: Callable[[Batcher], Crew]) -> None:
    batcher = Batcher(network, batch_size=8, runs=1)
    crew = make_crew(batcher)
    begun, released = network.hold()
    first = crew.submit(1)
    assert begun.wait(20)
    others = [crew.submit(2), crew.submit(3, width=5), crew.submit(4)]
    released.set()
    assert [one.result(20) for one in (first, *others)] == [[2], [4], [6], [8]]
    assert network.runs == [[1], [2, 4], [3]]


def test_calls_go_first_and_share_no_run_with_bulk_work(
    network: Doubling, make_crew: Callable[[Batcher], Crew]
) -> None:
    batcher = Batcher(network, batch_size=8, runs=1)
    crew = make_crew(batcher)
    begun, released = network.hold()
    first = crew.submit(1)
    assert begun.wait(20)
    others = [crew.submit(2), crew.submit(90, urgent=True), crew.submit(3), crew.submit(91, urgent=True)]
    released.set()
    assert [one.result(20) for one in (first, *others)] == [[2], [4], [180], [6], [182]]
    assert network.runs == [[1], [90, 91], [2, 3]]


def test_a_free_network_waits_for_whom_it_has_just_served(
    network: Doubling, make_crew: Callable[[Batcher], Crew]
) -> None:
    batcher = Batcher(network, batch_size=8, runs=1, max_wait_s=FOREVER_S)
    crew = make_crew(batcher)
    begun, released = network.hold()
    second = threading.Event()

    def come_back() -> list[float]:
        answers = run(batcher, [1])
        assert second.wait(20)
        return answers + run(batcher, [2])

    with ThreadPoolExecutor(1) as pool:
        regular = pool.submit(come_back)
        assert begun.wait(20)
        other = crew.submit(10)
        released.set()  # the other one may run now, but the regular is expected back
        second.set()
        assert regular.result(20) == [2, 4]
    assert other.result(20) == [20]
    assert network.runs == [[1], [10, 2]]


def test_a_call_ends_the_waiting_for_company(network: Doubling, make_crew: Callable[[Batcher], Crew]) -> None:
    batcher = Batcher(network, batch_size=8, runs=1, max_wait_s=FOREVER_S)
    crew = make_crew(batcher)
    begun, released = network.hold()
    gone = crew.submit(1)
    assert begun.wait(20)
    bulk = crew.submit(2)
    released.set()
    assert gone.result(20) == [2]
    assert run(batcher, [90], urgent=True) == [180]
    assert not bulk.done()
    full = crew.submit(*range(10, 17))  # fills the run, so that there is nothing to wait for any more
    assert full.result(20) == [2 * value for value in range(10, 17)]
    assert bulk.result(20) == [4]
    assert network.runs == [[1], [90], [2, *range(10, 17)]]


def test_waiting_for_company_ends_by_itself(network: Doubling, make_crew: Callable[[Batcher], Crew]) -> None:
    batcher = Batcher(network, batch_size=8, runs=1, max_wait_s=0.01)
    crew = make_crew(batcher)
    begun, released = network.hold()
    gone = crew.submit(1)
    assert begun.wait(20)
    other = crew.submit(2)
    released.set()
    assert gone.result(20) == [2]
    assert other.result(20) == [4]


@pytest.mark.parametrize("bad", [[2], [0], [1, 4], [0, 1, 2, 3, 4]])
def test_only_the_owner_of_a_bad_row_gets_its_error(
    network: Doubling, make_crew: Callable[[Batcher], Crew], bad: list[int]
) -> None:
    batcher = Batcher(network, batch_size=16, runs=1)
    crew = make_crew(batcher)
    begun, released = network.hold()
    first = crew.submit(1)
    assert begun.wait(20)
    owners = [crew.submit(10 + i, BAD if i in bad else 50) for i in range(5)]
    released.set()
    assert first.result(20) == [2]
    for i, owner in enumerate(owners):
        if i in bad:
            with pytest.raises(ArithmeticError, match="bad row among 1"):
                owner.result(20)
        else:
            assert owner.result(20) == [2 * (10 + i), 100]
    assert run(batcher, [5]) == [10]


@pytest.mark.parametrize("runs", [None, 1])
def test_what_does_not_fit_into_one_run_is_given_in_several(runs: int | None) -> None:
    network = Doubling(most=3)
    assert run(Batcher(network, batch_size=16, runs=runs), range(8)) == [2 * value for value in range(8)]
    assert list(map(len, network.runs)) == [8, 4, 2, 2, 4, 2, 2]


@pytest.mark.parametrize("runs", [None, 1])
def test_rows_that_fail_for_themselves_raise_at_once(runs: int | None) -> None:
    network = Doubling(most=0)
    with pytest.raises(MemoryError, match="1 rows"):
        run(Batcher(network, batch_size=16, runs=runs), range(8))
    assert list(map(len, network.runs)) == [8, 4, 2, 1]


def test_an_interrupted_run_frees_those_who_share_it(make_crew: Callable[[Batcher], Crew]) -> None:
    class Interrupted(Doubling):
        def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
            if len(feeds["x"]) == 2:
                raise SystemExit
            return super().run(feeds)

    network = Interrupted()
    batcher = Batcher(network, batch_size=8, runs=1)
    crew = make_crew(batcher)
    begun, released = network.hold()
    first = crew.submit(1)
    assert begun.wait(20)
    leader, follower = crew.submit(2), crew.submit(3)
    released.set()
    assert first.result(20) == [2]
    with pytest.raises(SystemExit):
        leader.result(20)
    with pytest.raises(TransientError, match="interrupted"):
        follower.result(20)
    assert run(batcher, [4]) == [8]


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("max_wait_s", [0.0, 0.001])
def test_many_threads_get_their_own_answers(network: Doubling, runs: int, max_wait_s: float) -> None:
    batcher = Batcher(network, batch_size=8, runs=runs, max_wait_s=max_wait_s)

    def work(number: int) -> int:
        random = np.random.default_rng(number)
        bad = 0
        for _ in range(40):
            values = random.integers(1, 1000, random.integers(1, 6)).astype(float)
            if random.random() < 0.1:
                with pytest.raises(ArithmeticError):
                    run(batcher, [*values, BAD], urgent=number < 2)
                bad += 1
            else:
                assert run(batcher, values, urgent=number < 2) == [2 * value for value in values]
        return bad

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) > 10
    assert network.most_side_by_side <= runs
    assert max(map(len, network.runs)) <= 8
