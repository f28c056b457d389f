"""What `FaceTable` promises, on the real database."""

import hashlib
import threading
import uuid
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from common.errors import ConflictError, NotFoundError
from common.store.database import Database
from common.store.face_table import FaceRow, FaceTable, Stranger, is_storable
from common.store.face_views import make_face_views
from common.store.galleries import Galleries, NewSample, NewSubject

MODEL = "test-model"
NAME = "faces"
HOSTILE = ["o'brien", "'); DROP TABLE x;--", "%s %(id)s", "a\\'b", "名前", "<b>&", "unknown_person_x", "x" * 200]


@pytest.fixture
def table(database: Database) -> FaceTable:
    table = FaceTable(database, NAME, MODEL)
    table.open()
    return table


def maker(embedding: Sequence[float], *, image: str | None = None) -> Callable[[str], NewSample]:
    def make(subject_id: str) -> NewSample:
        sample_id = str(uuid.uuid4())
        sha256 = None if image is None else hashlib.sha256(image.encode()).hexdigest()
        return NewSample(sample_id, 0.9, 0.5, f"galleries/g/{subject_id}/{sample_id}.jpg", embedding, sha256)

    return make


def direction(number: int, dim: int = 16) -> list[float]:
    return [float(number == place) for place in range(dim)]


def a_row(sample_id: str, name: str = "Ada", metadata: str = "m", action: str = "embedlink") -> FaceRow:
    return FaceRow(sample_id, name, metadata, action)


def all_rows(database: Database) -> list[FaceRow]:
    with database.transaction() as cursor:
        cursor.execute(
            "select s.* from subjects s join galleries g on g.id = s.gallery_id where g.name = %s"
            " order by s.created_at, s.external_id",
            (NAME,),
        )
        return [FaceRow.from_subject(row) for row in cursor.fetchall()]


def samples_of(database: Database, sample_id: str) -> list[str]:
    """Embeddings of somebody."""
    with database.transaction() as cursor:
        cursor.execute(
            "select e.embedding::text from subjects s join samples a on a.subject_id = s.id"
            " join sample_embeddings e on e.sample_id = a.id where s.external_id = %s order by a.created_at",
            (sample_id,),
        )
        return [row["embedding"] for row in cursor.fetchall()]


def at_once(work: Callable[[int], object], count: int) -> None:
    """Run `work` in as many threads, started together; errors fail the test."""
    barrier, errors = threading.Barrier(count), list[BaseException]()

    def run(number: int) -> None:
        try:
            barrier.wait(timeout=30)
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []


def test_the_gallery_is_made_once_however_many_want_it(database: Database) -> None:
    table = FaceTable(database, NAME, MODEL)
    ids = set[object]()
    at_once(lambda _: ids.add(table.open()["id"]), 4)
    assert len(ids) == 1
    assert Galleries(database).get(NAME)["model_id"] == MODEL


@pytest.mark.parametrize("text", [*HOSTILE, "", "y" * 5000])
def test_names_and_metadata_of_any_text_come_back_as_they_were(database: Database, table: FaceTable, text: str) -> None:
    row = a_row("id", text, text, text)
    assert table.append(MODEL, row, maker(direction(0))) == []
    assert all_rows(database) == [row]


@pytest.mark.parametrize("sample_id", HOSTILE)
def test_ids_of_any_text_are_kept_literally(database: Database, table: FaceTable, sample_id: str) -> None:
    table.replace(MODEL, a_row(sample_id), maker(direction(0)))
    table.replace(MODEL, a_row(sample_id, "Bob"), maker(direction(1)))
    assert all_rows(database) == [a_row(sample_id, "Bob")]
    assert table.rename(sample_id, "Eve", sample_id)
    assert all_rows(database) == [a_row(sample_id, "Eve", sample_id)]


@pytest.mark.parametrize(
    "row",
    [a_row(""), a_row("x" * 201), a_row("a\0b"), a_row("\ud800"), a_row("id", "a\0b"), a_row("id", "n", "\udfff")],
    ids=repr,
)
def test_what_the_database_cannot_hold_is_known_before(row: FaceRow) -> None:
    assert not row.is_storable()


def test_what_it_can_hold_is_known_too() -> None:
    assert all(a_row(text, text, text, text).is_storable() for text in HOSTILE)
    assert is_storable("")


def test_replacing_leaves_one_sample_and_names_the_crops_to_delete(database: Database, table: FaceTable) -> None:
    table.replace(MODEL, a_row("a", "first"), maker(direction(0), image="1"))
    with database.transaction() as cursor:
        cursor.execute("select crop_key from samples")
        former = cursor.fetchone()["crop_key"]
    assert table.replace(MODEL, a_row("a", "second", "n"), maker(direction(1), image="1")) == [former]
    assert all_rows(database) == [a_row("a", "second", "n")]
    assert len(samples_of(database, "a")) == 1


def test_appending_leaves_the_columns_and_adds_a_sample(database: Database, table: FaceTable) -> None:
    table.append(MODEL, a_row("a", "first"), maker(direction(0), image="1"))
    assert table.append(MODEL, a_row("a", "", ""), maker(direction(1), image="2")) == []
    assert all_rows(database) == [a_row("a", "first")]
    assert len(samples_of(database, "a")) == 2


def test_the_same_picture_is_appended_once(database: Database, table: FaceTable) -> None:
    table.append(MODEL, a_row("a"), maker(direction(0), image="1"))
    (crop,) = table.append(MODEL, a_row("a"), maker(direction(0), image="1"))
    assert crop.endswith(".jpg")
    assert len(samples_of(database, "a")) == 1


def test_two_who_bring_the_same_new_id_at_once_make_one_person(database: Database, table: FaceTable) -> None:
    at_once(lambda number: table.append(MODEL, a_row("a"), maker(direction(number))), 4)
    assert all_rows(database) == [a_row("a")]
    assert len(samples_of(database, "a")) == 4


def test_renaming_nobody_says_so(table: FaceTable) -> None:
    assert not table.rename("nobody", "n", "m")


def test_clearing_erases_everybody_of_this_table_alone(database: Database, table: FaceTable) -> None:
    galleries = Galleries(database)
    galleries.create(str(uuid.uuid4()), "other", MODEL, None)
    galleries.add_subject("other", MODEL, NewSubject(str(uuid.uuid4()), "Zoe", "a", {}), [maker(direction(0))("z")])
    table.append(MODEL, a_row("a"), maker(direction(0)))
    table.append(MODEL, a_row("b"), maker(direction(1)))
    assert not table.is_empty(table.open())
    prefixes = table.clear()
    assert len(prefixes) == 2
    assert all(prefix.startswith(f"galleries/{table.open()['id']}/") for prefix in prefixes)
    assert table.is_empty(table.open())
    assert galleries.describe("other")["sample_count"] == 1
    assert table.clear() == []


def test_strangers_count_up_from_the_highest_number(database: Database, table: FaceTable) -> None:
    table.append(MODEL, a_row("unknown_person_7"), maker(direction(0)))
    table.append(MODEL, a_row("unknown_person_x"), maker(direction(1)))
    stand = table.stand()
    met = table.meet(stand, [Stranger(direction(n), maker(direction(n))) for n in (2, 3)], bound=0.5)
    assert met == [FaceRow.unknown(8), FaceRow.unknown(9)]
    assert FaceRow.unknown(8) == FaceRow(*("unknown_person_8",) * 3, "embedlink")
    table.clear()
    assert table.meet(table.stand(), [Stranger(direction(2), maker(direction(2)))], bound=0.5) == [FaceRow.unknown(1)]


def test_one_stranger_twice_in_a_picture_is_one(table: FaceTable) -> None:
    face = Stranger(direction(2), maker(direction(2)))
    assert table.meet(table.stand(), [face, face], bound=0.5) == [FaceRow.unknown(1)] * 2


def test_a_bound_that_nothing_exceeds_makes_everybody_new(table: FaceTable) -> None:
    face = Stranger(direction(2), maker(direction(2)))
    assert table.meet(table.stand(), [face, face], bound=1.0) == [FaceRow.unknown(1), FaceRow.unknown(2)]


def test_who_had_been_searched_already_is_not_met_again(table: FaceTable) -> None:
    table.append(MODEL, a_row("known"), maker(direction(2)))
    stand = table.stand()
    assert table.meet(stand, [Stranger(direction(2), maker(direction(2)))], bound=0.5) == [FaceRow.unknown(1)]


def test_who_came_since_the_search_is_met(table: FaceTable) -> None:
    stand = table.stand()
    table.append(MODEL, a_row("newcomer"), maker(direction(2)))
    assert table.meet(stand, [Stranger(direction(2), maker(direction(2)))], bound=0.5) == [a_row("newcomer")]


def test_different_strangers_at_once_get_different_numbers(database: Database, table: FaceTable) -> None:
    def meet(number: int) -> None:
        for _ in range(3):
            table.meet(table.stand(), [Stranger(direction(number), maker(direction(number)))], bound=1.0)

    at_once(meet, 6)
    assert {row.sample_id for row in all_rows(database)} == {f"unknown_person_{number}" for number in range(1, 19)}


def test_the_same_stranger_at_once_gets_one_number(database: Database, table: FaceTable) -> None:
    stand = table.stand()  # all of them have searched, and found nobody
    at_once(lambda _: table.meet(stand, [Stranger(direction(1), maker(direction(1)))], bound=0.5), 6)
    assert all_rows(database) == [FaceRow.unknown(1)]


def test_a_table_that_was_made_anew_meanwhile_is_searched_again(database: Database, table: FaceTable) -> None:
    stand = table.stand()
    Galleries(database).delete(NAME)
    with pytest.raises(NotFoundError):
        table.meet(stand, [], bound=0.5)
    table.open()
    with pytest.raises(ConflictError):
        table.meet(stand, [], bound=0.5)


def test_of_several_the_first_come_is_first(database: Database, table: FaceTable) -> None:
    for name in "cab":
        table.append(MODEL, a_row(name), maker(np.eye(16)[0].tolist()))
    with database.transaction() as cursor:
        cursor.execute("select id from subjects order by id")
        ids = [str(row["id"]) for row in cursor.fetchall()]
    assert [row.sample_id for row in table.rows(ids).values()] == ["c", "a", "b"]
    table.replace(MODEL, a_row("c"), maker(direction(0)))
    assert [row.sample_id for row in table.rows([*ids, str(uuid.uuid4())]).values()] == ["a", "b", "c"]


def columns(database: Database, view: str) -> dict[str, str]:
    with database.transaction() as cursor:
        cursor.execute(
            "select column_name, data_type from information_schema.columns where table_name = %s"
            " order by ordinal_position",
            (view,),
        )
        return {row["column_name"]: row["data_type"] for row in cursor.fetchall()}


def test_the_views_have_the_columns_of_the_former_tables(database: Database) -> None:
    make_face_views(database, NAME)
    time, text = "timestamp without time zone", "text"
    assert columns(database, "sample_face_vectors") == {
        "id": "integer",
        "created": time,
        "modified": time,
        "sample_id": text,
        "name": text,
        "metadata": text,
        "action": text,
        "vector": text,
    }
    assert columns(database, "sample_faces") == {
        "id": "integer",
        "created_at": time,
        "last_updated": time,
        "sample_id": text,
        "name": text,
        "meta_data": text,
        "action": text,
    }
    assert columns(database, "feature_vectors") == {
        "id": "integer",
        "created_at": time,
        "last_updated": time,
        "face_id": "integer",
        "vector": text,
    }


def test_the_views_show_what_is_in_the_table(database: Database, table: FaceTable) -> None:
    at_once(lambda _: make_face_views(database, NAME), 2)
    table.append(MODEL, a_row("a", "", "m"), maker(direction(0, 3), image="1"))
    table.append(MODEL, a_row("a"), maker(direction(1, 3), image="2"))
    with database.transaction() as cursor:
        cursor.execute("select id, sample_id, name, metadata, action, vector from sample_face_vectors order by id")
        rows = [tuple(row.values()) for row in cursor.fetchall()]
        cursor.execute(
            "select f.sample_id, v.id, v.vector from feature_vectors v join sample_faces f on f.id = v.face_id"
        )
        joined = {(row["sample_id"], row["id"], row["vector"]) for row in cursor.fetchall()}
    assert rows == [(1, "a", "", "m", "embedlink", "[1,0,0]"), (2, "a", "", "m", "embedlink", "[0,1,0]")]
    assert joined == {("a", 1, "[1,0,0]"), ("a", 2, "[0,1,0]")}


def test_a_former_table_in_the_same_database_is_left_alone(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("create table sample_face_vectors (id int)")
    with pytest.raises(ConflictError, match="rename"):
        make_face_views(database, NAME)
    assert columns(database, "sample_face_vectors") == {"id": "integer"}
