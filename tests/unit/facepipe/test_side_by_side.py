"""Several at once, but not too many."""

import threading
from collections.abc import Iterator

import pytest

from facepipe.errors import BadRequestError
from facepipe.side_by_side import run_side_by_side, send_in_pieces


def test_no_more_is_taken_up_than_is_worked_on() -> None:
    taken, finished = 0, 0
    ahead = []

    def tasks() -> Iterator[int]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield number

    for _ in run_side_by_side(tasks(), lambda number: number, parallel=3, key=lambda number: number):
        finished += 1
        ahead.append(taken - finished)
    assert finished == 200
    assert max(ahead) <= 4  # three under way, and the next one in hand


def test_two_tasks_of_one_key_are_never_under_way_together() -> None:
    lock, under_way, doubled = threading.Lock(), set[str](), []

    def work(task: tuple[str, int]) -> int:
        with lock:
            doubled.append(task[0] in under_way)
            under_way.add(task[0])
        threading.Event().wait(0.001)
        with lock:
            under_way.discard(task[0])
        return task[1]

    tasks = [("ab"[number % 2], number) for number in range(40)]
    answers = list(run_side_by_side(tasks, work, parallel=8, key=lambda task: task[0]))
    assert sorted(answers) == list(range(40))
    assert not any(doubled)


def test_a_failure_ends_the_run_after_those_under_way() -> None:
    done = []

    def work(number: int) -> int:
        if number == 2:
            raise RuntimeError("away")
        done.append(number)
        return number

    with pytest.raises(RuntimeError, match="away"):
        list(run_side_by_side(range(1000), work, parallel=2, key=lambda number: number))
    assert len(done) < 10


def test_pieces_shrink_until_the_server_takes_them() -> None:
    sent: list[list[int]] = []

    def send(piece: list[int]) -> None:
        if len(piece) > 3:
            raise BadRequestError("too_large", "too many")
        sent.append(piece)

    send_in_pieces(list(range(10)), send, size=8)
    assert [number for piece in sent for number in piece] == list(range(10))


def test_what_is_too_large_alone_is_an_error() -> None:
    def send(piece: list[int]) -> None:
        raise BadRequestError("too_large", "too large")

    with pytest.raises(BadRequestError):
        send_in_pieces([1], send, size=8)
