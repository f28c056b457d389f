"""Approximate indexes on a real PostgreSQL, built and measured by the pool's own handlers."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import CancelledError, ConflictError
from common.store import nearest
from common.store.approximate import ApproximateIndexes
from common.store.database import vector_literal
from common.store.paging import Row
from common.types import Candidate, Float32s
from tests.contract.bulk_house import NEW, OLD, BulkHouse
from tests.contract.test_search import erase
from workers.match.approximate import move

PEOPLE, MANY, DIMENSION = 400, 1500, 64


@pytest.fixture
def house(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[BulkHouse]:
    made = BulkHouse(database_url, redis_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def indexes(house: BulkHouse) -> ApproximateIndexes:
    return ApproximateIndexes(house.database)


@pytest.fixture
def faces(house: BulkHouse) -> Float32s:
    """Of as many subjects; the id of subject number n is UUID n + 1."""
    made = vectors(1, PEOPLE)
    enrol(house, made, first=1)
    return made


def vectors(seed: int, count: int) -> Float32s:
    drawn = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def enrol(house: BulkHouse, faces: Float32s, *, first: int, model_id: str = OLD) -> None:
    with house.database.transaction() as cursor:
        cursor.execute(
            "with new as materialized (select gen_random_uuid() as sample, subject, embedding"
            "  from unnest(%s::uuid[], %s::text[]) as n (subject, embedding)),"
            " s as (insert into subjects (id, gallery_id, name) select subject, %s::uuid, 'x' from new),"
            " i as (insert into samples (id, subject_id, det_score, quality, crop_key)"
            "  select sample, subject, 0.9, 0.9, 'k' from new)"
            " insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding)"
            " select sample, %s::uuid, subject, %s, embedding::halfvec from new",
            (
                [str(uuid.UUID(int=number)) for number in range(first, first + len(faces))],
                [vector_literal(face) for face in faces],
                house.gallery_id,
                house.gallery_id,
                model_id,
            ),
        )


def build(house: BulkHouse, indexes: ApproximateIndexes, *, min_recall: float = 0.9) -> Row:
    indexes.ask("staff", min_recall=min_recall)
    return house.run(house.gallery["index"]["job_id"])


def search(house: BulkHouse, probes: Float32s, *, limit: int = 1) -> list[tuple[Candidate, ...]]:
    return house.search.candidates(house.gallery_id, OLD, probes, limit=limit)


def built(house: BulkHouse) -> list[str]:
    with house.database.transaction() as cursor:
        cursor.execute(
            "select indexrelid::regclass::text as name from pg_index where indrelid = 'sample_embeddings'::regclass"
            " and starts_with(indexrelid::regclass::text, 'approximate_')"
        )
        return [row["name"] for row in cursor.fetchall()]


def see_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches of the index follow one candidate and take one row."""
    for name in ("_CANDIDATES", "_ROWS", "_ROWS_PER_SUBJECT"):
        monkeypatch.setattr(nearest, name, 1)


def test_an_index_is_built_measured_and_used(
    house: BulkHouse, indexes: ApproximateIndexes, faces: Float32s, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(house, vectors(2, MANY - PEOPLE), first=PEOPLE + 1)
    probes = move(faces[:100], 5)
    exact = search(house, probes, limit=5)
    assert house.search.indexed() == [(house.gallery_id, OLD)]
    job = build(house, indexes)
    assert (job["state"], job["report"]["state"], job["report"]["probes"]) == ("succeeded", "ready", 500)
    index = house.gallery["index"]
    assert (index["kind"], index["state"], index["recall"]) == ("hnsw", "ready", job["report"]["recall"])
    assert index["recall"] >= 0.97
    found = search(house, probes, limit=5)
    assert house.search.indexed() == []
    same = [one[0] == other[0] for one, other in zip(found, exact, strict=True)]
    assert np.mean(same) >= 0.97
    numbers = {(probe, one.subject_id): one.similarity for probe, all_ in enumerate(exact) for one in all_}
    for probe, candidates in enumerate(found):
        for one in candidates:
            assert numbers.get((probe, one.subject_id), one.similarity) == one.similarity
    see_little(monkeypatch)
    assert np.mean([one[0] == other[0] for one, other in zip(search(house, probes), exact, strict=True)]) < 0.97


def test_who_is_enrolled_is_found_at_once_and_who_is_erased_never_again(
    house: BulkHouse, indexes: ApproximateIndexes, faces: Float32s
) -> None:
    build(house, indexes)
    newcomers = vectors(9, 5)
    assert all(found[0].similarity < 0.9 for found in search(house, newcomers))
    enrol(house, newcomers, first=5000)
    assert [found[0].subject_id for found in search(house, newcomers)] == [
        str(uuid.UUID(int=number)) for number in range(5000, 5005)
    ]
    for number in (1, 2, 5000):
        erase(house.database, str(uuid.UUID(int=number)))
    everybody = search(house, np.concatenate([faces[:2], newcomers[:1]]), limit=50)
    gone = {str(uuid.UUID(int=number)) for number in (1, 2, 5000)}
    assert all(len(found) == 50 and not gone & {one.subject_id for one in found} for found in everybody)


@pytest.mark.usefixtures("faces")
def test_an_index_that_finds_too_little_is_refused(
    house: BulkHouse, indexes: ApproximateIndexes, faces: Float32s, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = search(house, faces[:20])
    with monkeypatch.context() as patch:
        see_little(patch)
        job = build(house, indexes, min_recall=1.0)
        assert job["state"] == "succeeded"
        index = house.gallery["index"]
        assert (index["state"], index["min_recall"]) == ("refused", 1.0)
        assert index["recall"] == job["report"]["recall"] < 1
        assert built(house) == []
        assert search(house, faces[:20]) == exact
    assert build(house, indexes)["report"]["state"] == "ready"


@pytest.mark.usefixtures("faces")
def test_going_back_is_exact_at_once_and_the_index_is_dropped(
    house: BulkHouse, indexes: ApproximateIndexes, faces: Float32s
) -> None:
    build(house, indexes)
    assert indexes.remove_unwanted() == 0
    indexes.go_back("staff")
    assert house.gallery["index"] is None
    assert search(house, faces[:3])[0][0].similarity == 1
    assert house.search.indexed() == [(house.gallery_id, OLD)]
    assert len(built(house)) == 1
    assert indexes.remove_unwanted() == 1
    assert built(house) == []


@pytest.mark.parametrize(
    "change", ["update galleries set model_id = 'new-model'", "delete from galleries"], ids=["model", "gone"]
)
@pytest.mark.usefixtures("faces")
def test_it_goes_with_the_model_and_with_the_gallery(
    house: BulkHouse, indexes: ApproximateIndexes, change: str
) -> None:
    build(house, indexes)
    with house.database.transaction() as cursor:
        cursor.execute(change)
        cursor.execute("select count(*)::int as n from approximate_indexes")
        assert cursor.fetchone()["n"] == 0
    assert indexes.remove_unwanted() == 1


@pytest.mark.usefixtures("faces")
def test_a_death_and_an_index_left_half_built_lose_nothing(house: BulkHouse, indexes: ApproximateIndexes) -> None:
    indexes.ask("staff", min_recall=0.9)
    job = house.gallery["index"]["job_id"]
    house.run(job, steps=1)
    name = indexes.of_job(job).name
    with house.database.transaction() as cursor:  # as a build leaves it whose connection broke
        cursor.execute(f"create index {name} on sample_embeddings (gallery_id)")
        cursor.execute("update pg_index set indisvalid = false where indexrelid = %s::regclass", (name,))
    assert indexes.size(indexes.of_job(job)) is None
    assert house.claim() != []
    assert house.die() == 1
    assert house.gallery["index"]["state"] == "building"
    assert house.run(job)["report"]["state"] == "ready"
    assert built(house) == [name]


@pytest.mark.usefixtures("faces")
def test_a_build_that_nobody_wants_any_more_is_stopped(house: BulkHouse, indexes: ApproximateIndexes) -> None:
    indexes.ask("staff", min_recall=0.9)
    job = house.gallery["index"]["job_id"]

    def stop() -> None:
        raise CancelledError("no longer wanted")

    with house.database.transaction() as cursor:  # the build waits for whoever has changed the table and goes on
        cursor.execute(
            "update sample_embeddings set embedding = embedding where subject_id = %s", (str(uuid.UUID(int=1)),)
        )
        with pytest.raises(CancelledError):
            indexes.build(job, stop)
    assert indexes.size(indexes.of_job(job)) is None
    with pytest.raises(ConflictError, match="being built"):
        indexes.ask("staff", min_recall=0.9)
    indexes.go_back("staff")
    indexes.remove_unwanted()
    assert built(house) == []
    assert house.run(job)["error"]["code"] == "conflict"


def test_a_job_that_failed_says_so_on_the_gallery(
    house: BulkHouse, indexes: ApproximateIndexes, faces: Float32s, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ConflictError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ApproximateIndexes, "build", fail)
        assert build(house, indexes)["state"] == "failed"
    assert house.gallery["index"]["state"] == "failed"
    assert search(house, faces[:1])[0][0].similarity == 1
    house.jobs.retry(house.gallery["index"]["job_id"], is_stored=lambda _: True)
    assert house.run(house.gallery["index"]["job_id"])["report"]["state"] == "ready"


@pytest.mark.usefixtures("faces")
def test_an_index_of_a_cancelled_job_is_dropped(house: BulkHouse, indexes: ApproximateIndexes) -> None:
    indexes.ask("staff", min_recall=0.9)
    job = house.gallery["index"]["job_id"]
    indexes.build(job, lambda: None)
    assert indexes.remove_unwanted() == 0
    house.jobs.cancel(job)
    assert house.gallery["index"]["state"] == "failed"
    assert indexes.remove_unwanted() == 1
    assert build(house, indexes)["report"]["state"] == "ready"


def test_an_empty_gallery_has_nothing_to_index(house: BulkHouse, indexes: ApproximateIndexes) -> None:
    with pytest.raises(ConflictError, match="empty"):
        indexes.ask("staff", min_recall=0.9)


def test_subjects_that_the_index_does_not_name_are_searched_exactly(
    house: BulkHouse, indexes: ApproximateIndexes, faces: Float32s, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = search(house, faces[:3], limit=100)
    build(house, indexes)
    see_little(monkeypatch)
    monkeypatch.setattr(nearest, "_MORE", 2)
    monkeypatch.setattr(nearest, "_ROWS_PER_SUBJECT", 0)
    assert search(house, faces[:3], limit=100) == exact


def test_other_models_of_the_gallery_are_not_in_it(
    house: BulkHouse, indexes: ApproximateIndexes, faces: Float32s
) -> None:
    build(house, indexes)
    with house.database.transaction() as cursor:
        cursor.execute(
            "insert into sample_embeddings select sample_id, gallery_id, subject_id, %s, '[1,2]'"
            " from sample_embeddings limit 10",
            (NEW,),
        )
    assert search(house, faces[:1])[0][0].similarity == 1
