"""Webhooks on the real database, posted to a real server: promised with the end of a job, and never lost."""

import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from common.contracts import JobState, Priority, StepKind
from common.errors import BadInputError, NotFoundError
from common.settings import LeaseSettings, WebhookSettings
from common.store.database import Database
from common.store.jobs import Jobs, NewJob
from common.store.recording import Recording
from common.store.schedule import LIGHT, Schedule
from common.store.steps import Steps
from common.store.webhooks import Webhooks
from facepipe import verify_signature
from tests.builders import a_step_ref
from tests.receiver import Receiver, receiving
from workers.housekeeping.webhooks import Courier

SECRET = "whsec_test"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def webhooks(database: Database) -> Webhooks:
    return Webhooks(database)


@pytest.fixture
def courier(database: Database, receiver: Receiver) -> Courier:
    return a_courier(database, receiver)


@pytest.fixture
def start(database_url: str, receiver: Receiver) -> Iterator[Callable[[], Courier]]:
    """Starts couriers as so many housekeepers would, each with connections of its own."""
    started: list[tuple[Courier, Database]] = []

    def begin() -> Courier:
        own = Database(database_url, size=2)
        courier = a_courier(own, receiver)
        courier.start()
        started.append((courier, own))
        return courier

    yield begin
    receiver.may_answer.set()
    for courier, own in started:
        courier.stop()
        own.close()


def a_courier(database: Database, receiver: Receiver, **settings: Any) -> Courier:
    return Courier(database, WebhookSettings(**{"secret": SECRET, "allow": receiver.netloc, **settings}))


def a_job(database: Database, url: str | None) -> str:
    job_id = str(uuid.uuid4())
    options = {"gallery": None, "sample_fps": 5.0, "min_similarity": 0.4, "min_margin": 0.05, "limit": 5}
    job = NewJob(job_id, Priority.NORMAL, None, options, "test-model", f"jobs/{job_id}/media", webhook_url=url)
    Jobs(database, max_open=50).create(job)
    return job_id


def an_ended_job(database: Database, url: str) -> str:
    job_id = a_job(database, url)
    Jobs(database, max_open=50).cancel(job_id)
    return job_id


def rows(webhooks: Webhooks, **filters: Any) -> list[Any]:
    return webhooks.list(**{"state": None, "job_id": None, "cursor": None, "limit": 100, **filters}).items


def only(webhooks: Webhooks) -> Any:
    (row,) = rows(webhooks)
    return row


def due(database: Database, *, later_s: float = 0) -> None:
    """Let it be the time of the next attempt, and `later_s` after the first one."""
    with database.transaction() as cursor:
        cursor.execute(
            "update webhooks set next_at = now(), tried_since = tried_since - make_interval(secs => %s)"
            " where state = 'pending'",
            (later_s,),
        )


def pause_s(database: Database) -> float:
    with database.transaction() as cursor:
        cursor.execute("select extract(epoch from next_at - now()) as pause from webhooks")
        return float(cursor.fetchone()["pause"])


def cancel(database: Database, job_id: str) -> None:
    Jobs(database, max_open=50).cancel(job_id)


def plan_fails(database: Database, job_id: str) -> None:
    ref = sent(database)
    Steps(database, LeaseSettings()).fail(ref, BadInputError("No video.", "bad_media"))


def plan_is_quarantined(database: Database, job_id: str) -> None:
    lease = LeaseSettings(max_deaths=1)
    sent(database)
    with database.transaction() as cursor:
        cursor.execute(
            "update steps set state = 'running', lease_until = now() - interval '1 s' where job_id = %s", (job_id,)
        )
    assert Schedule(database, lease, 8).expire().quarantined == 1


def finish(database: Database, job_id: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("update jobs set state = 'running' where id = %s", (job_id,))
        cursor.execute(
            "insert into steps (job_id, kind, ordinal, state, attempt) values (%s, 'finish', 0, 'running', 1)",
            (job_id,),
        )
    ref = a_step_ref(job_id, StepKind.FINISH)
    Recording(database).finish(
        ref, state=JobState.SUCCEEDED, error=None, model_id="m", tracklets=[], tracks=[], appearances=[]
    )


def sent(database: Database) -> Any:
    (outgoing,) = Schedule(database, LeaseSettings(), 8).claim({LIGHT: 1})
    return outgoing.message.ref


@pytest.mark.parametrize(
    ("end", "state", "code"),
    [
        (finish, "succeeded", None),
        (plan_fails, "failed", "bad_media"),
        (plan_is_quarantined, "failed", "worker_lost"),
        (cancel, "cancelled", None),
    ],
)
def test_every_way_to_end_promises_one_webhook_with_the_final_document(
    end: Callable[[Database, str], None],
    state: str,
    code: str | None,
    database: Database,
    webhooks: Webhooks,
    receiver: Receiver,
    courier: Courier,
) -> None:
    job_id = a_job(database, receiver.url)
    assert rows(webhooks) == []
    end(database, job_id)
    assert courier.deliver_next()
    assert not courier.deliver_next()
    (got,) = receiver.received
    document = json.loads(got.body)
    assert (document["id"], document["state"]) == (job_id, state)
    assert (document["error"] or {}).get("code") == code
    assert document["finished_at"] is not None
    assert document["options"]["webhook_url"] == receiver.url
    row = only(webhooks)
    assert (row["state"], row["attempts"], row["last_status"], row["last_error"]) == ("delivered", 1, 200, None)
    assert str(row["job_id"]) == job_id
    assert row["delivered_at"] is not None


def test_a_job_without_a_webhook_promises_none(database: Database, webhooks: Webhooks) -> None:
    cancel(database, a_job(database, None))
    assert rows(webhooks) == []


def test_a_change_that_is_rolled_back_promises_none(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    job_id = a_job(database, receiver.url)
    with pytest.raises(RuntimeError), database.transaction() as cursor:
        cursor.execute("update jobs set state = 'failed' where id = %s", (job_id,))
        raise RuntimeError
    assert rows(webhooks) == []


def test_a_job_that_ends_twice_tells_each_end_as_it_was(
    database: Database, receiver: Receiver, courier: Courier
) -> None:
    job_id = a_job(database, receiver.url)
    for state in ("failed", "queued", "running", "succeeded"):
        with database.transaction() as cursor:
            cursor.execute("update jobs set state = %s, finished_at = now() where id = %s", (state, job_id))
    while courier.deliver_next():
        pass
    assert [json.loads(got.body)["state"] for got in receiver.received] == ["failed", "succeeded"]
    assert len({got.headers["facepipe-delivery"] for got in receiver.received}) == 2


def test_the_request_is_signed_and_says_which_delivery_it_is(
    database: Database, webhooks: Webhooks, receiver: Receiver, courier: Courier
) -> None:
    an_ended_job(database, receiver.url)
    courier.deliver_next()
    (got,) = receiver.received
    assert got.path == "/hook?from=facepipe"
    assert got.headers["host"] == receiver.netloc
    assert got.headers["content-type"] == "application/json"
    assert got.headers["facepipe-delivery"] == str(only(webhooks)["id"])
    verify_signature(SECRET, got.headers["facepipe-signature"], got.body)


def test_an_error_is_tried_again_with_the_same_delivery(
    database: Database, webhooks: Webhooks, receiver: Receiver, courier: Courier
) -> None:
    receiver.statuses = [500, 200]
    an_ended_job(database, receiver.url)
    assert courier.deliver_next()
    row = only(webhooks)
    assert (row["state"], row["last_status"]) == ("pending", 500)
    assert "answered 500" in row["last_error"]
    assert not courier.deliver_next()
    due(database)
    assert courier.deliver_next()
    assert only(webhooks)["state"] == "delivered"
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["facepipe-delivery"] == second.headers["facepipe-delivery"]


@pytest.mark.parametrize(("tried_s", "least_s", "most_s"), [(0, 3, 7), (600, 440, 760), (20_000, 2600, 4600)])
def test_pauses_grow_with_the_time_that_it_was_tried_for(
    tried_s: float, least_s: float, most_s: float, database: Database, receiver: Receiver, courier: Courier
) -> None:
    receiver.statuses = [503, 503]
    an_ended_job(database, receiver.url)
    courier.deliver_next()
    due(database, later_s=tried_s)
    courier.deliver_next()
    assert least_s < pause_s(database) < most_s


def test_it_has_failed_after_a_day_and_a_replay_begins_again(
    database: Database, webhooks: Webhooks, receiver: Receiver, courier: Courier
) -> None:
    receiver.statuses = [503, 503, 503]
    an_ended_job(database, receiver.url)
    courier.deliver_next()
    due(database, later_s=23.9 * 3600)
    courier.deliver_next()
    row = only(webhooks)
    assert (row["state"], row["attempts"]) == ("failed", 2)
    due(database)
    assert not courier.deliver_next()
    assert webhooks.replay(str(row["id"]))["state"] == "pending"
    courier.deliver_next()
    assert only(webhooks)["state"] == "pending"
    due(database)
    courier.deliver_next()
    assert (only(webhooks)["state"], only(webhooks)["attempts"]) == ("delivered", 4)


def test_a_receiver_that_is_away_is_tried_again(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        netloc = f"127.0.0.1:{nobody.getsockname()[1]}"
        an_ended_job(database, f"http://{netloc}/")
        a_courier(database, receiver, allow=netloc).deliver_next()
    row = only(webhooks)
    assert (row["state"], row["last_status"]) == ("pending", None)
    assert "did not answer" in row["last_error"]


def test_a_receiver_that_is_silent_is_tried_again(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    receiver.may_answer.clear()
    an_ended_job(database, receiver.url)
    a_courier(database, receiver, timeout_s=0.3).deliver_next()
    row = only(webhooks)
    assert (row["state"], row["last_status"]) == ("pending", None)
    assert "longer than 0.3 s" in row["last_error"]


def test_a_receiver_that_is_gone_ends_it_at_once(
    database: Database, webhooks: Webhooks, receiver: Receiver, courier: Courier
) -> None:
    receiver.statuses = [410]
    an_ended_job(database, receiver.url)
    courier.deliver_next()
    row = only(webhooks)
    assert (row["state"], row["last_status"]) == ("failed", 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    status: int, database: Database, webhooks: Webhooks, receiver: Receiver, courier: Courier
) -> None:
    receiver.statuses = [status]
    an_ended_job(database, receiver.url)
    courier.deliver_next()
    assert [got.path for got in receiver.received] == ["/hook?from=facepipe"]
    row = only(webhooks)
    assert (row["state"], row["last_status"]) == ("pending", status)
    assert "redirects are not followed" in row["last_error"]


def test_a_private_address_is_never_reached(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    an_ended_job(database, receiver.url)
    a_courier(database, receiver, allow="").deliver_next()
    assert receiver.received == []
    row = only(webhooks)
    assert row["state"] == "failed"
    assert f"add {receiver.netloc} to FACEPIPE_WEBHOOK__ALLOW" in row["last_error"]


def test_a_webhook_whose_sender_died_is_attempted_again(
    database: Database, webhooks: Webhooks, receiver: Receiver, courier: Courier
) -> None:
    an_ended_job(database, receiver.url)
    assert webhooks.claim(lease_s=60) is not None  # whoever claimed it says nothing more
    assert not courier.deliver_next()
    due(database)
    assert courier.deliver_next()
    assert only(webhooks)["state"] == "delivered"


def test_a_late_failure_changes_nothing_and_a_late_success_counts(
    database: Database, webhooks: Webhooks, receiver: Receiver
) -> None:
    an_ended_job(database, receiver.url)
    late = webhooks.claim(lease_s=0)
    now = webhooks.claim(lease_s=60)
    assert late is not None
    assert now is not None
    webhooks.missed(late, status=410, error="gone", give_up_s=60, is_final=True)
    assert only(webhooks)["state"] == "pending"
    webhooks.delivered(late, 200)
    webhooks.missed(now, status=500, error="broken", give_up_s=60, is_final=True)
    assert (only(webhooks)["state"], only(webhooks)["last_error"]) == ("delivered", None)


def test_what_ends_while_nobody_delivers_is_delivered_later(
    database: Database, webhooks: Webhooks, receiver: Receiver, start: Callable[[], Courier]
) -> None:
    first = start()
    an_ended_job(database, receiver.url)
    receiver.wait_for(1)
    first.stop()
    jobs = {an_ended_job(database, receiver.url) for _ in range(5)}
    start()
    assert {json.loads(got.body)["id"] for got in receiver.wait_for(6)[1:]} == jobs


def test_two_housekeepers_deliver_once(
    database: Database, webhooks: Webhooks, receiver: Receiver, start: Callable[[], Courier]
) -> None:
    couriers = [start(), start()]
    jobs = {an_ended_job(database, receiver.url) for _ in range(10)}
    receiver.wait_for(10)
    for courier in couriers:
        courier.stop()
    assert sorted(json.loads(got.body)["id"] for got in receiver.received) == sorted(jobs)


def test_another_housekeeper_takes_over(database: Database, receiver: Receiver, start: Callable[[], Courier]) -> None:
    first = start()
    an_ended_job(database, receiver.url)
    receiver.wait_for(1)
    start()
    first.stop()
    an_ended_job(database, receiver.url)
    assert len(receiver.wait_for(2)) == 2


def test_delivery_goes_on_after_the_database_hung_up(
    database: Database, receiver: Receiver, start: Callable[[], Courier]
) -> None:
    start()
    an_ended_job(database, receiver.url)
    receiver.wait_for(1)
    with database.transaction() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    an_ended_job(database, receiver.url)
    assert len(receiver.wait_for(2)) == 2


def test_a_silent_receiver_leaves_room_for_another(database: Database, receiver: Receiver, database_url: str) -> None:
    with receiving() as silent:
        silent.may_answer.clear()
        own = Database(database_url, size=2)
        courier = Courier(own, WebhookSettings(allow=f"{receiver.netloc},{silent.netloc}", threads=2))
        for _ in range(4):
            an_ended_job(database, silent.url)
        courier.start()
        silent.wait_for(1)
        for _ in range(3):
            an_ended_job(database, receiver.url)
        assert len(receiver.wait_for(3)) == 3
        assert len(silent.received) == 1
        silent.may_answer.set()
        assert len(silent.wait_for(4)) == 4
        courier.stop()
        own.close()


def test_erasing_a_job_erases_its_webhooks(database: Database, webhooks: Webhooks, courier: Courier) -> None:
    job_id = an_ended_job(database, "http://127.0.0.1:1/")
    Jobs(database, max_open=50).delete(job_id)
    assert rows(webhooks) == []
    assert not courier.deliver_next()


def test_webhooks_are_listed_newest_first_by_state_and_job(
    database: Database, webhooks: Webhooks, receiver: Receiver, courier: Courier
) -> None:
    assert rows(webhooks) == []
    first = an_ended_job(database, receiver.url)
    courier.deliver_next()
    second, third = (an_ended_job(database, receiver.url) for _ in range(2))
    assert [str(row["job_id"]) for row in rows(webhooks)] == [third, second, first]
    assert [str(row["job_id"]) for row in rows(webhooks, state="delivered")] == [first]
    assert [str(row["job_id"]) for row in rows(webhooks, job_id=second)] == [second]
    page = webhooks.list(state=None, job_id=None, cursor=None, limit=2)
    rest = webhooks.list(state=None, job_id=None, cursor=page.next_cursor, limit=2)
    assert [str(row["job_id"]) for row in (*page.items, *rest.items)] == [third, second, first]
    assert rest.next_cursor is None


def test_an_unknown_webhook_cannot_be_replayed(webhooks: Webhooks) -> None:
    with pytest.raises(NotFoundError):
        webhooks.replay(str(uuid.uuid4()))


def test_the_secret_is_made_once_unless_the_operator_gives_one(webhooks: Webhooks) -> None:
    barrier = threading.Barrier(4)
    found: list[str] = []

    def read() -> None:
        barrier.wait(timeout=30)
        found.append(webhooks.secret(""))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(found[0]) > 40
    assert webhooks.secret("mine") == "mine"
