"""What `Galleries` promises, on the real database."""

import uuid
from collections.abc import Sequence

import pytest

from common.errors import BadInputError, ConflictError, NotFoundError
from common.store.database import Database
from common.store.galleries import Galleries, NewSample, NewSubject

MODEL = "test-model"


@pytest.fixture
def galleries(database: Database) -> Galleries:
    return Galleries(database)


def an_id() -> str:
    return str(uuid.uuid4())


def a_subject(name: str = "Ada", external_id: str | None = None, **metadata: object) -> NewSubject:
    return NewSubject(an_id(), name, external_id, metadata)


def a_sample(embedding: Sequence[float] = (1.0, 0.0)) -> NewSample:
    sample_id = an_id()
    return NewSample(sample_id, 0.9, 0.5, f"galleries/g/s/{sample_id}.jpg", embedding)


def count(database: Database, table: str) -> int:
    with database.transaction() as cursor:
        cursor.execute(f"select count(*) as n from {table}")
        return int(cursor.fetchone()["n"])


def test_there_are_no_galleries_at_first(galleries: Galleries) -> None:
    page = galleries.list(cursor=None, limit=10)
    assert page.items == []
    assert page.next_cursor is None


def test_a_new_gallery_is_empty_and_keeps_its_bound(galleries: Galleries) -> None:
    row = galleries.create(an_id(), "staff", MODEL, 0.36)
    assert (row["name"], row["model_id"], row["min_similarity"]) == ("staff", MODEL, 0.36)
    assert (row["subject_count"], row["sample_count"]) == (0, 0)
    assert galleries.describe("staff") == row


def test_a_name_is_taken_once(galleries: Galleries) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    with pytest.raises(ConflictError) as caught:
        galleries.create(an_id(), "staff", MODEL, None)
    assert caught.value.field == "name"


@pytest.mark.parametrize("name", ["", "absent", "a\0b", "../x", "x" * 300])
def test_a_gallery_that_is_not_there_is_not_found(galleries: Galleries, name: str) -> None:
    with pytest.raises(NotFoundError):
        galleries.get(name)


def test_pages_go_through_all_galleries_by_name(galleries: Galleries) -> None:
    names = ["Zoo", "a.b", "alpha", "beta", "gamma-1"]
    for name in reversed(names):
        galleries.create(an_id(), name, MODEL, None)
    seen, cursor = [], None
    while True:
        page = galleries.list(cursor=cursor, limit=2)
        seen += [row["name"] for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == names


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA", "WyJhXHUwMDAwIl0", "WzFd", "W10", "é", "W1tbW1tb"])
def test_a_cursor_of_another_list_is_refused(galleries: Galleries, cursor: str) -> None:
    with pytest.raises(BadInputError) as caught:
        galleries.list(cursor=cursor, limit=2)
    assert caught.value.field == "cursor"


def test_a_subject_comes_with_its_samples(galleries: Galleries) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    ada = a_subject("Ada", "7", team="engine")
    row = galleries.add_subject("staff", MODEL, ada, [a_sample(), a_sample((0.0, 1.0))])
    assert (row["name"], row["external_id"], row["metadata"]) == ("Ada", "7", {"team": "engine"})
    assert row["sample_count"] == 2
    assert galleries.describe("staff")["subject_count"] == 1
    assert galleries.describe("staff")["sample_count"] == 2
    assert galleries.subject("staff", ada.subject_id) == row


def test_embeddings_of_another_model_are_refused_and_nothing_is_stored(
    galleries: Galleries, database: Database
) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    with pytest.raises(ConflictError) as caught:
        galleries.add_subject("staff", "other-model", a_subject(), [a_sample()])
    assert caught.value.code == "model_mismatch"
    assert count(database, "subjects") == count(database, "samples") == 0


def test_a_taken_external_id_stores_nothing(galleries: Galleries, database: Database) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    galleries.add_subject("staff", MODEL, a_subject("Ada", "7"), [a_sample()])
    with pytest.raises(ConflictError) as caught:
        galleries.add_subject("staff", MODEL, a_subject("Bob", "7"), [a_sample()])
    assert caught.value.field == "external_id"
    assert count(database, "subjects") == count(database, "sample_embeddings") == 1


def test_an_external_id_may_be_used_in_two_galleries_and_left_out_often(galleries: Galleries) -> None:
    for name in ("one", "two"):
        galleries.create(an_id(), name, MODEL, None)
        galleries.add_subject(name, MODEL, a_subject("Ada", "7"), [a_sample()])
        galleries.add_subject(name, MODEL, a_subject("Bob"), [a_sample()])
        galleries.add_subject(name, MODEL, a_subject("Cleo"), [a_sample()])
    assert galleries.describe("two")["subject_count"] == 3


def test_subjects_are_listed_in_pages_and_found_by_external_id(galleries: Galleries) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    assert galleries.list_subjects("staff", external_id=None, cursor=None, limit=2).items == []
    for number in range(5):
        galleries.add_subject("staff", MODEL, a_subject(f"S{number}", str(number)), [a_sample()])
    seen, cursor = [], None
    while True:
        page = galleries.list_subjects("staff", external_id=None, cursor=cursor, limit=2)
        seen += [row["external_id"] for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == ["0", "1", "2", "3", "4"]
    (found,) = galleries.list_subjects("staff", external_id="3", cursor=None, limit=2).items
    assert found["name"] == "S3"


def test_a_subject_is_changed_field_by_field(galleries: Galleries) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    ada = a_subject("Ada", "7", team="engine")
    galleries.add_subject("staff", MODEL, ada, [a_sample()])
    galleries.add_subject("staff", MODEL, a_subject("Bob", "8"), [a_sample()])
    assert galleries.update_subject("staff", ada.subject_id, {"name": "Ada L."})["metadata"] == {"team": "engine"}
    assert galleries.update_subject("staff", ada.subject_id, {"external_id": None})["external_id"] is None
    assert galleries.update_subject("staff", ada.subject_id, {"metadata": {}})["name"] == "Ada L."
    with pytest.raises(ConflictError):
        galleries.update_subject("staff", ada.subject_id, {"external_id": "8"})
    with pytest.raises(ValueError, match="not changeable"):
        galleries.update_subject("staff", ada.subject_id, {"gallery_id": an_id()})


def test_samples_are_added_listed_and_deleted(galleries: Galleries) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    ada = a_subject()
    first, second = a_sample(), a_sample()
    galleries.add_subject("staff", MODEL, ada, [first])
    galleries.add_samples("staff", ada.subject_id, MODEL, [second])
    page = galleries.list_samples("staff", ada.subject_id, cursor=None, limit=10)
    assert {str(row["id"]) for row in page.items} == {first.sample_id, second.sample_id}
    assert galleries.delete_sample("staff", ada.subject_id, first.sample_id) == first.crop_key
    assert galleries.describe("staff")["sample_count"] == 1
    with pytest.raises(NotFoundError):
        galleries.delete_sample("staff", ada.subject_id, first.sample_id)


def test_samples_of_nobody_or_of_another_model_are_refused(galleries: Galleries) -> None:
    galleries.create(an_id(), "staff", MODEL, None)
    with pytest.raises(NotFoundError):
        galleries.add_samples("staff", an_id(), MODEL, [a_sample()])
    ada = a_subject()
    galleries.add_subject("staff", MODEL, ada, [a_sample()])
    with pytest.raises(ConflictError):
        galleries.add_samples("staff", ada.subject_id, "other-model", [a_sample()])


def test_a_subject_is_found_in_its_own_gallery_alone(galleries: Galleries) -> None:
    for name in ("one", "two"):
        galleries.create(an_id(), name, MODEL, None)
    ada, sample = a_subject(), a_sample()
    galleries.add_subject("one", MODEL, ada, [sample])
    with pytest.raises(NotFoundError):
        galleries.subject("two", ada.subject_id)
    with pytest.raises(NotFoundError):
        galleries.sample("two", ada.subject_id, sample.sample_id)
    with pytest.raises(NotFoundError):
        galleries.delete_subject("two", ada.subject_id)


def test_erasing_a_subject_or_a_gallery_leaves_no_embedding(galleries: Galleries, database: Database) -> None:
    gallery_id = an_id()
    galleries.create(gallery_id, "staff", MODEL, None)
    ada, bob = a_subject("Ada"), a_subject("Bob")
    galleries.add_subject("staff", MODEL, ada, [a_sample()])
    galleries.add_subject("staff", MODEL, bob, [a_sample(), a_sample()])
    assert galleries.delete_subject("staff", ada.subject_id) == gallery_id
    assert count(database, "sample_embeddings") == 2
    assert galleries.delete("staff") == gallery_id
    assert [count(database, table) for table in ("galleries", "subjects", "samples", "sample_embeddings")] == [0] * 4


def test_subjects_by_ids_leaves_out_who_is_gone(galleries: Galleries) -> None:
    assert galleries.subjects_by_ids([]) == {}
    galleries.create(an_id(), "staff", MODEL, None)
    ada = a_subject("Ada", team="engine")
    galleries.add_subject("staff", MODEL, ada, [a_sample()])
    found = galleries.subjects_by_ids([ada.subject_id, an_id(), ada.subject_id])
    assert list(found) == [ada.subject_id]
    assert (found[ada.subject_id]["name"], found[ada.subject_id]["metadata"]) == ("Ada", {"team": "engine"})
