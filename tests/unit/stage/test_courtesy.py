"""Bulk work waits while a call is under way, and not for ever."""

import threading

from common.stage.courtesy import Courtesy

A_TEST_S = 60.0


def test_without_calls_nobody_waits() -> None:
    courtesy = Courtesy(A_TEST_S)
    with courtesy.in_front():
        pass
    courtesy.give_way()


def test_bulk_work_goes_on_when_the_last_call_has_ended() -> None:
    courtesy = Courtesy(A_TEST_S)
    order: list[str] = []

    def bulk() -> None:
        courtesy.give_way()
        order.append("bulk")

    with courtesy.in_front():
        with courtesy.in_front():
            thread = threading.Thread(target=bulk)
            thread.start()
        thread.join(0.05)
        order.append("calls")
    thread.join()
    assert order == ["calls", "bulk"]


def test_bulk_work_is_not_kept_for_ever() -> None:
    courtesy = Courtesy(0.01)
    with courtesy.in_front():
        courtesy.give_way()
