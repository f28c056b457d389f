"""Exact search on a real PostgreSQL: with an index in memory and without, the same answers."""

import threading
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from common.errors import ConflictError, NotFoundError
from common.index import rows as rows_module
from common.store import shelf as shelf_module
from common.store.database import Database, vector_literal
from common.store.search import GallerySearch
from common.types import Candidate, Float32s
from tests.builders import MODEL_ID, a_unit_vector

ROOM = 64 << 20


@pytest.fixture
def gallery_id(database: Database) -> str:
    return a_gallery(database, "g")


@pytest.fixture(params=[0, ROOM], ids=["rows", "index"])
def search(database: Database, request: pytest.FixtureRequest) -> GallerySearch:
    return GallerySearch(database, index_bytes=request.param)


@pytest.fixture
def indexed(database: Database) -> GallerySearch:
    return GallerySearch(database, index_bytes=ROOM)


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 64)


def a_gallery(database: Database, name: str) -> str:
    gallery = str(uuid.uuid4())
    with database.transaction() as cursor:
        cursor.execute("insert into galleries (id, name, model_id) values (%s, %s, %s)", (gallery, name, MODEL_ID))
    return gallery


def enrol(database: Database, gallery_id: str, *references: Float32s, subject: int, model_id: str = MODEL_ID) -> str:
    subject_id = str(uuid.UUID(int=subject))
    with database.transaction() as cursor:
        cursor.execute(
            "insert into subjects (id, gallery_id, name) values (%s, %s, 'x') on conflict do nothing",
            (subject_id, gallery_id),
        )
        for reference in references:
            sample_id = str(uuid.uuid4())
            cursor.execute(
                "insert into samples (id, subject_id, det_score, quality, crop_key) values (%s, %s, 0.9, 0.9, 'k')",
                (sample_id, subject_id),
            )
            cursor.execute(
                "insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding)"
                " values (%s, %s, %s, %s, %s::halfvec)",
                (sample_id, gallery_id, subject_id, model_id, vector_literal(reference)),
            )
    return subject_id


def enrol_crowd(database: Database, gallery_id: str, embeddings: Float32s, owners: list[int]) -> None:
    """Many at once, in one statement a table."""
    with database.transaction() as cursor:
        cursor.execute(
            "insert into subjects (id, gallery_id, name) select distinct id, %s::uuid, 'x'"
            " from unnest(%s::uuid[]) as o (id) on conflict do nothing",
            (gallery_id, [str(uuid.UUID(int=owner)) for owner in owners]),
        )
        cursor.execute(
            "with new as materialized (select gen_random_uuid() as id, owner, embedding"
            "  from unnest(%s::uuid[], %s::text[]) as n (owner, embedding)),"
            " stored as (insert into samples (id, subject_id, det_score, quality, crop_key)"
            "  select id, owner, 0.9, 0.9, 'k' from new)"
            " insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding)"
            " select id, %s::uuid, owner, %s, embedding::halfvec from new",
            (
                [str(uuid.UUID(int=owner)) for owner in owners],
                [vector_literal(embedding) for embedding in embeddings],
                gallery_id,
                MODEL_ID,
            ),
        )


def erase(database: Database, subject_id: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("delete from subjects where id = %s", (subject_id,))


def vectors(seed: int, count: int, dimension: int = 32) -> Float32s:
    drawn = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def brute_force(embeddings: Float32s, owners: list[int], probes: Float32s, limit: int) -> list[tuple[Candidate, ...]]:
    """The definition: stored halves, float64 cosines, six decimals."""
    stored, asked = (np.asarray(part, np.float16).astype(np.float64) for part in (embeddings, probes))
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    answers = []
    for similarities in np.round(asked @ stored.T, 6):
        best: dict[str, float] = {}
        for owner, similarity in zip(owners, similarities.tolist(), strict=True):
            name = str(uuid.UUID(int=owner))
            best[name] = max(best.get(name, -2.0), similarity)
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        answers.append(tuple(Candidate(*item) for item in ranked[:limit]))
    return answers


def test_an_empty_gallery_has_no_candidates(search: GallerySearch, gallery_id: str) -> None:
    probes = a_unit_vector()[None]
    assert search.candidates(gallery_id, MODEL_ID, probes, limit=5) == [()]


def test_a_subject_is_as_close_as_its_best_reference(
    database: Database, search: GallerySearch, gallery_id: str
) -> None:
    probe, far, near = a_unit_vector(seed=1), a_unit_vector(seed=2), a_unit_vector(seed=3)
    anna = enrol(database, gallery_id, far, probe, subject=1)
    ben = enrol(database, gallery_id, near, subject=2)
    ((first, second), (other, _)) = search.candidates(gallery_id, MODEL_ID, np.array([probe, near]), limit=5)
    assert (first.subject_id, second.subject_id, other.subject_id) == (anna, ben, ben)
    assert first.similarity == pytest.approx(1, abs=1e-3)
    assert second.similarity == pytest.approx(float(probe @ near), abs=1e-3)


def test_equal_similarities_are_ordered_by_subject_id(
    database: Database, search: GallerySearch, gallery_id: str
) -> None:
    probe = a_unit_vector()
    ids = [enrol(database, gallery_id, probe, subject=number) for number in (5, 3, 4)]
    (found,) = search.candidates(gallery_id, MODEL_ID, probe[None], limit=2)
    assert [candidate.subject_id for candidate in found] == sorted(ids)[:2]


def test_another_model_is_refused(search: GallerySearch, gallery_id: str) -> None:
    with pytest.raises(ConflictError, match="never compared"):
        search.candidates(gallery_id, "other-model", a_unit_vector()[None], limit=5)


def test_a_gallery_that_is_gone_is_not_found(search: GallerySearch) -> None:
    with pytest.raises(NotFoundError):
        search.candidates(str(uuid.uuid4()), MODEL_ID, a_unit_vector()[None], limit=5)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("limit", [1, 5, 40])
def test_every_answer_is_that_of_brute_force(
    database: Database, search: GallerySearch, gallery_id: str, limit: int
) -> None:
    embeddings = vectors(7, 300)
    embeddings[200:240] = embeddings[0]
    owners = np.random.default_rng(8).integers(1, 60, 300).tolist()
    enrol_crowd(database, gallery_id, embeddings, owners)
    probes = np.concatenate([embeddings[:20], vectors(9, 50)])
    assert search.candidates(gallery_id, MODEL_ID, probes, limit=limit) == brute_force(
        embeddings, owners, probes, limit
    )


@pytest.mark.usefixtures("_small_blocks")
def test_who_is_enrolled_is_found_by_the_next_search_and_who_is_erased_by_none(
    database: Database, indexed: GallerySearch, gallery_id: str
) -> None:
    crowd = vectors(1, 150)
    enrol_crowd(database, gallery_id, crowd, list(range(1, 151)))
    for number in range(5):
        probe = vectors(100 + number, 1)
        before = indexed.candidates(gallery_id, MODEL_ID, probe, limit=1)
        newcomer = enrol(database, gallery_id, probe[0], subject=1000 + number)
        assert indexed.candidates(gallery_id, MODEL_ID, probe, limit=1)[0][0].subject_id == newcomer
        assert indexed.candidates(gallery_id, MODEL_ID, crowd[number : number + 1], limit=1)[0][0].similarity == 1
        erase(database, newcomer)
        assert indexed.candidates(gallery_id, MODEL_ID, probe, limit=1) == before
        erase(database, str(uuid.UUID(int=number + 1)))
        assert indexed.candidates(gallery_id, MODEL_ID, crowd[number : number + 1], limit=1)[0][0].similarity < 1


def test_a_changed_reference_is_compared_as_it_is_now(
    database: Database, indexed: GallerySearch, gallery_id: str
) -> None:
    enrol(database, gallery_id, a_unit_vector(seed=1), subject=1)
    probe = a_unit_vector(seed=2)
    assert indexed.candidates(gallery_id, MODEL_ID, probe[None], limit=1)[0][0].similarity < 0.9
    with database.transaction() as cursor:
        cursor.execute("update sample_embeddings set embedding = %s::halfvec", (vector_literal(probe),))
    assert indexed.candidates(gallery_id, MODEL_ID, probe[None], limit=1)[0][0].similarity == 1


def test_what_is_not_committed_is_not_found_and_does_not_hold_up_searches(
    database: Database, indexed: GallerySearch, gallery_id: str
) -> None:
    ada = enrol(database, gallery_id, a_unit_vector(seed=1), subject=1)
    probes = a_unit_vector(seed=2)[None]
    alone = indexed.candidates(gallery_id, MODEL_ID, probes, limit=5)
    with database.transaction() as cursor:
        cursor.execute("delete from subjects where id = %s", (ada,))
        assert indexed.candidates(gallery_id, MODEL_ID, probes, limit=5) == alone
    assert indexed.candidates(gallery_id, MODEL_ID, probes, limit=5) == [()]


def test_one_transaction_is_one_revision(database: Database, gallery_id: str) -> None:
    enrol(database, gallery_id, *vectors(1, 4), subject=1)
    enrol(database, gallery_id, *vectors(2, 3), subject=2)
    with database.transaction() as cursor:
        cursor.execute("select revision, logged_since from embedding_revisions")
        assert [dict(row) for row in cursor.fetchall()] == [{"revision": 2, "logged_since": 0}]
        cursor.execute("select count(*)::int as n from embedding_changes")
        assert cursor.fetchone()["n"] == 7


def test_a_deleted_gallery_leaves_no_log_and_no_index(
    database: Database, indexed: GallerySearch, gallery_id: str
) -> None:
    enrol(database, gallery_id, *vectors(1, 4), subject=1)
    indexed.candidates(gallery_id, MODEL_ID, vectors(3, 1), limit=1)
    with database.transaction() as cursor:
        cursor.execute("delete from galleries where id = %s", (gallery_id,))
        cursor.execute(
            "select (select count(*) from embedding_changes) + (select count(*) from embedding_revisions) as n"
        )
        assert cursor.fetchone()["n"] == 0
    with pytest.raises(NotFoundError):
        indexed.candidates(gallery_id, MODEL_ID, vectors(3, 1), limit=1)
    other = a_gallery(database, "other")
    enrol(database, other, *vectors(1, 1), subject=2)
    indexed.candidates(other, MODEL_ID, vectors(3, 1), limit=1)
    assert indexed.nbytes() == 32 * 4 + 2 * 16


def test_after_many_changes_at_once_the_rows_are_read_again(
    database: Database, indexed: GallerySearch, gallery_id: str
) -> None:
    enrol(database, gallery_id, a_unit_vector(seed=1, dim=2), subject=1)
    probes = np.array([[1, 0]], np.float32)
    indexed.candidates(gallery_id, MODEL_ID, probes, limit=1)
    angles = np.linspace(0.5, 1.5, 10_001).astype(np.float32)
    crowd = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    enrol_crowd(database, gallery_id, crowd, list(range(10, 10_011)))
    (found,) = indexed.candidates(gallery_id, MODEL_ID, crowd[-1:], limit=1)
    assert found[0].similarity == 1
    with database.transaction() as cursor:
        cursor.execute("select count(*)::int as n from embedding_changes")
        assert cursor.fetchone()["n"] == 1


@pytest.mark.usefixtures("_small_blocks")
def test_a_large_gallery_is_answered_while_its_index_is_built(
    database: Database, indexed: GallerySearch, gallery_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "_READ_AT_ONCE", 10)
    embeddings, owners = vectors(7, 200), list(range(1, 201))
    enrol_crowd(database, gallery_id, embeddings, owners)
    expected = brute_force(embeddings, owners, embeddings[:5], 3)
    assert indexed.candidates(gallery_id, MODEL_ID, embeddings[:5], limit=3) == expected
    for thread in threading.enumerate():
        if thread.name == "facepipe-index":
            thread.join(30)
    assert indexed.nbytes() > 0
    assert indexed.candidates(gallery_id, MODEL_ID, embeddings[:5], limit=3) == expected


def test_galleries_share_the_memory_and_the_one_used_longest_ago_goes_first(database: Database) -> None:
    galleries = [a_gallery(database, name) for name in "abc"]
    for number, gallery in enumerate(galleries):
        enrol_crowd(database, gallery, vectors(number, 100), list(range(1000 * number + 1, 1000 * number + 101)))
    one = 100 * (32 * 4 + 32)
    search = GallerySearch(database, index_bytes=2 * one)
    for number in (0, 1, 0, 2):
        probe = vectors(number, 1)
        assert search.candidates(galleries[number], MODEL_ID, probe, limit=1)[0][0].similarity == 1
    assert search.indexed() == [(galleries[0], MODEL_ID), (galleries[2], MODEL_ID)]
    assert search.nbytes() == 2 * one


def test_a_gallery_without_room_is_searched_in_the_database(database: Database, gallery_id: str) -> None:
    embeddings, owners = vectors(7, 100), list(range(1, 101))
    enrol_crowd(database, gallery_id, embeddings, owners)
    search = GallerySearch(database, index_bytes=1000)
    for _ in range(2):
        found = search.candidates(gallery_id, MODEL_ID, embeddings[:3], limit=4)
        assert found == brute_force(embeddings, owners, embeddings[:3], 4)
    assert search.nbytes() == 0


def test_each_model_of_a_gallery_is_searched_alone(database: Database, indexed: GallerySearch, gallery_id: str) -> None:
    probe = a_unit_vector(seed=1)
    ada = enrol(database, gallery_id, probe, subject=1)
    assert indexed.candidates(gallery_id, MODEL_ID, probe[None], limit=1)[0][0].subject_id == ada
    ben = enrol(database, gallery_id, probe, subject=2, model_id="new")
    assert [one.subject_id for one in indexed.candidates(gallery_id, MODEL_ID, probe[None], limit=5)[0]] == [ada]
    with database.transaction() as cursor:
        cursor.execute("update galleries set model_id = 'new'")
    assert [one.subject_id for one in indexed.candidates(gallery_id, "new", probe[None], limit=5)[0]] == [ben]
    with pytest.raises(ConflictError):
        indexed.candidates(gallery_id, MODEL_ID, probe[None], limit=5)


@pytest.mark.usefixtures("_small_blocks")
def test_searches_beside_changes_see_every_transaction_whole(
    database: Database, indexed: GallerySearch, gallery_id: str
) -> None:
    """A writer moves one face from subject to subject, always exactly one, while others come and go."""
    enrol_crowd(database, gallery_id, vectors(1, 150), list(range(1, 151)))
    face = vectors(2, 1)
    enrol(database, gallery_id, face[0], subject=1000)
    ended = threading.Event()
    problems: list[str] = []

    def write() -> None:
        try:
            for number in range(1000, 1040):
                with database.transaction() as cursor:
                    cursor.execute("delete from subjects where id = %s", (str(uuid.UUID(int=number)),))
                    successor = str(uuid.UUID(int=number + 1))
                    cursor.execute("insert into subjects values (%s, %s, 'x')", (successor, gallery_id))
                    cursor.execute(
                        "insert into samples (id, subject_id, det_score, quality, crop_key)"
                        " values (%s, %s, 0.9, 0.9, 'k')",
                        (successor, successor),
                    )
                    cursor.execute(
                        "insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding)"
                        " values (%s, %s, %s, %s, %s::halfvec)",
                        (successor, gallery_id, successor, MODEL_ID, vector_literal(face[0])),
                    )
                enrol(database, gallery_id, *vectors(number, 3), subject=number + 5000)
        finally:
            ended.set()

    def read() -> None:
        while not ended.is_set():
            (found,) = indexed.candidates(gallery_id, MODEL_ID, face, limit=3)
            if [one.similarity == 1 for one in found] != [True, False, False]:
                problems.append(repr(found))

    threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    (found,) = indexed.candidates(gallery_id, MODEL_ID, face, limit=1)
    assert found[0].subject_id == str(uuid.UUID(int=1040))


@pytest.fixture(autouse=True)
def _no_builder_outlives_its_database() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "facepipe-index":
            thread.join(30)
