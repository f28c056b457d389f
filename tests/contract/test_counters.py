"""Counters, on a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from common.errors import TransientError
from common.metric_names import COUNTERS
from common.settings import LeaseSettings
from common.stage.meter import Meter, MeteredSession
from common.store.counters import Counters
from common.store.database import Database
from common.store.schedule import LIGHT, Schedule
from common.store.steps import Steps
from common.types import Arrays, Float32s
from tests.builders import a_job


class Doubling:
    """The smallest network: it doubles."""

    inputs = (("x", ("n", 2)),)
    outputs = (("y", ("n", 2)),)

    def run(self, feeds: Arrays) -> list[Float32s]:
        return [feeds["x"] * 2]


def test_nothing_counted_stores_nothing(database: Database) -> None:
    Meter(Counters(database), "detect").store()
    assert Counters(database).read() == {}


def test_counts_of_all_processes_add_up(database: Database) -> None:
    def work(_: int) -> None:
        meter = Meter(Counters(database), "detect")
        for _ in range(10):
            meter.count("steps_done")
            meter.count("busy_seconds", 0.25)
            meter.store()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert Counters(database).read() == {("steps_done", "detect"): 40, ("busy_seconds", "detect"): 10}


def test_what_cannot_be_stored_is_kept(database: Database) -> None:
    away = Counters(Database("postgresql://127.0.0.1:1/x"))
    meter = Meter(away, "embed")
    meter.count("calls")
    with pytest.raises(TransientError):
        meter.store()
    meter._counters = Counters(database)
    meter.count("calls")
    meter.store()
    assert Counters(database).read() == {("calls", "embed"): 2}


def test_runs_of_a_network_and_their_items_are_counted(database: Database) -> None:
    meter = Meter(Counters(database), "embed")
    session = MeteredSession(Doubling(), meter)
    for rows in (1, 3):
        assert session.run({"x": np.ones((rows, 2), np.float32)})[0].shape == (rows, 2)
    meter.store()
    assert Counters(database).read() == {("model_runs", "embed"): 2, ("model_items", "embed"): 4}


def test_expired_leases_and_deaths_are_counted_by_stage(database: Database) -> None:
    lease = LeaseSettings(max_deaths=2)
    schedule, steps = Schedule(database, lease, span_segments=4), Steps(database, lease)
    a_job(database)
    for begins in (False, True, True):
        (outgoing,) = schedule.claim({LIGHT: 1})
        assert not begins or steps.begin(outgoing.message.span()[0], "decode", "w")
        with database.transaction() as cursor:
            cursor.execute("update steps set lease_until = now() - interval '1 second'")
        schedule.expire()
    assert Counters(database).read() == {
        ("leases_expired", "decode"): 3,
        ("steps_died", "decode"): 2,
        ("steps_quarantined", "decode"): 1,
    }


def test_every_counter_says_what_it_counts() -> None:
    assert all(meaning.endswith(".") for meaning in COUNTERS.values())
