"""What the audit promises, on the real database."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from common.store.audit import MAX_SUBJECTS, Audit, Entry, auditing, record
from common.store.database import Database
from common.store.galleries import Galleries, NewSample, NewSubject

ADA, BOB = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database)


def an_entry(action: str = "search", **more: str) -> Entry:
    return Entry(action, "k1", "r1", **more)


def test_nothing_is_written_outside_an_audited_call(audit: Audit) -> None:
    audit.record(subject_ids=[ADA])
    assert audit.list(cursor=None, limit=10).items == []


def test_a_line_says_who_did_what_to_whom(audit: Audit) -> None:
    entry = an_entry(gallery="staff")
    with auditing(entry):
        assert not entry.is_recorded
        audit.record(subject_ids=[ADA, BOB, ADA], counts={"faces": 2})
    assert entry.is_recorded
    (line,) = audit.list(cursor=None, limit=10).items
    assert (line["action"], line["key_id"], line["request_id"], line["gallery"]) == ("search", "k1", "r1", "staff")
    assert [str(one) for one in line["subject_ids"]] == [ADA, BOB]
    assert line["counts"] == {"faces": 2}


@pytest.mark.parametrize(
    "statement", ["update audit set action = 'x'", "delete from audit", "truncate audit", "truncate audit cascade"]
)
def test_lines_are_neither_changed_nor_removed(audit: Audit, database: Database, statement: str) -> None:
    with auditing(an_entry()):
        audit.record()
    with pytest.raises(psycopg2.Error, match="append-only"), database.transaction() as cursor:
        cursor.execute(statement)
    assert len(audit.list(cursor=None, limit=10).items) == 1


def test_an_effect_that_is_rolled_back_leaves_no_line(audit: Audit, database: Database) -> None:
    with pytest.raises(RuntimeError), auditing(an_entry()), database.transaction() as cursor:
        record(cursor, subject_ids=[ADA])
        raise RuntimeError("no")
    assert audit.list(cursor=None, limit=10).items == []


def test_an_enrolment_is_one_line_with_its_effect(audit: Audit, database: Database) -> None:
    galleries = Galleries(database)
    galleries.create(str(uuid.uuid4()), "staff", "m", None)
    sample = NewSample(str(uuid.uuid4()), 0.9, 0.5, "galleries/g/s/x.jpg", (1.0, 0.0))
    with auditing(an_entry("enroll", gallery="staff")):
        galleries.add_subject("staff", "m", NewSubject(ADA, "Ada", None, {}), [sample])
    (line,) = audit.list(subject_id=ADA, cursor=None, limit=10).items
    assert (line["action"], line["counts"]) == ("enroll", {"samples": 1})
    assert "Ada" not in str(dict(line))


def test_lines_are_paged_newest_first_and_filtered(audit: Audit) -> None:
    for action, gallery, subject in [("search", "a", ADA), ("search", "b", BOB), ("erase", "a", ADA)]:
        with auditing(an_entry(action, gallery=gallery)):
            audit.record(subject_ids=[subject])
    first = audit.list(cursor=None, limit=2)
    second = audit.list(cursor=first.next_cursor, limit=2)
    assert [line["action"] for line in (*first.items, *second.items)] == ["erase", "search", "search"]
    assert second.next_cursor is None
    assert len(audit.list(action="search", cursor=None, limit=9).items) == 2
    assert len(audit.list(gallery="b", cursor=None, limit=9).items) == 1
    assert len(audit.list(subject_id=ADA, cursor=None, limit=9).items) == 2
    now = datetime.now(UTC)
    assert (
        len(audit.list(since=now - timedelta(hours=1), until=now + timedelta(hours=1), cursor=None, limit=9).items) == 3
    )
    assert audit.list(since=now + timedelta(hours=1), cursor=None, limit=9).items == []
    assert audit.list(until=now - timedelta(hours=1), cursor=None, limit=9).items == []


def test_a_line_names_a_bounded_number_of_subjects(audit: Audit) -> None:
    ids = [str(uuid.uuid4()) for _ in range(MAX_SUBJECTS + 5)]
    with auditing(an_entry()):
        audit.record(subject_ids=ids)
    (line,) = audit.list(cursor=None, limit=1).items
    assert len(line["subject_ids"]) == MAX_SUBJECTS
    assert line["counts"] == {"subjects": MAX_SUBJECTS + 5}
