"""A newer item takes the place of the older one."""

import threading

from workers.live.newest import Newest


def test_only_the_newest_is_taken_and_the_others_are_counted() -> None:
    newest: Newest[int] = Newest()
    for number in range(5):
        newest.put(number)
    assert (newest.take(), newest.skipped) == (4, 4)
    newest.put(5)
    assert (newest.take(), newest.skipped) == (5, 4)


def test_nothing_is_taken_twice() -> None:
    newest: Newest[int] = Newest()
    newest.put(1)
    assert newest.take() == 1
    assert newest.take(0) is None


def test_what_lies_there_at_the_end_is_still_taken() -> None:
    newest: Newest[int] = Newest()
    newest.put(1)
    newest.close()
    newest.put(2)
    assert not newest.is_over
    assert newest.take() == 1
    assert newest.is_over
    assert newest.take() is None


def test_who_waits_is_woken_by_an_item_and_by_the_end() -> None:
    newest: Newest[str] = Newest()
    taken: list[str | None] = []
    first_is_taken = threading.Event()

    def take_two() -> None:
        taken.append(newest.take())
        first_is_taken.set()
        taken.append(newest.take())

    thread = threading.Thread(target=take_two)
    thread.start()
    newest.put("item")
    assert first_is_taken.wait(10)
    newest.close()
    thread.join(10)
    assert taken == ["item", None]
