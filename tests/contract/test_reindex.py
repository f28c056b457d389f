"""Re-indexing a gallery, on real servers: shadow, report, switch, rollback, cleaning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import ConflictError
from common.store.paging import Row
from tests.contract.bulk_house import MIN_SIMILARITY, NEW, OLD, BulkHouse, some_face


@pytest.fixture
def house(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[BulkHouse]:
    house = BulkHouse(database_url, redis_url, tmp_path)
    yield house
    house.close()


def reindex(house: BulkHouse, **options: object) -> Row:
    return house.reindex.create("staff", model_id=NEW, options=options)


def rows(house: BulkHouse, model_id: str) -> int:
    with house.database.transaction() as cursor:
        cursor.execute("select count(*) as n from sample_embeddings where model_id = %s", (model_id,))
        return int(cursor.fetchone()["n"])


def test_samples_and_tracks_are_embedded_again_and_the_gallery_switches(house: BulkHouse) -> None:
    ids = [house.enrol(f"person {p}", [some_face(p, 0), some_face(p, 1)]) for p in range(4)]
    house.finished_job([some_face(0, 5), some_face(9)])
    job = house.run(reindex(house))
    assert (job["state"], job["error"], job["frames_done"], job["frames_total"]) == ("succeeded", None, 10, 10)
    assert (house.gallery["model_id"], house.gallery["previous_model_id"]) == (NEW, OLD)
    assert job["report"]["is_switched"]
    assert (job["report"]["samples"]["embedded"], job["report"]["tracks"]["embedded"]) == (8, 2)
    assert house.gallery["sample_count"] == 8
    probes = [some_face(p, 7) for p in range(4)]
    assert [found[0].subject_id for found in house.best(NEW, probes)] == ids


def test_probes_embedded_before_the_switch_are_answered_by_the_former_rows(house: BulkHouse) -> None:
    house.enrol("ada", [some_face(1)])
    before = house.best(OLD, [some_face(1, 3)])
    house.run(reindex(house))
    assert house.best(OLD, [some_face(1, 3)]) == before


def test_a_repeated_death_of_both_pools_changes_nothing(house: BulkHouse) -> None:
    for person in range(5):
        house.enrol(f"person {person}", [some_face(person, picture) for picture in range(30)])
    before = house.best(OLD, [some_face(2, 50)])
    job = reindex(house)
    house.run(job, steps=2)
    for _ in range(2):
        lost = house.claim()
        assert lost
        assert house.die() == len(lost)
        assert house.best(OLD, [some_face(2, 50)]) == before
    done = house.run(job)
    assert (done["state"], done["frames_done"], rows(house, NEW)) == ("succeeded", 150, 150)


def test_a_dry_run_reports_and_leaves_nothing(house: BulkHouse) -> None:
    house.enrol("ada", [some_face(1), some_face(1, 1)])
    job = house.run(reindex(house, dry_run=True))
    assert (job["state"], house.gallery["model_id"], rows(house, NEW)) == ("succeeded", OLD, 0)
    assert job["report"]["samples"]["compared"] == 2
    assert not job["report"]["is_switched"]


def test_the_report_is_what_a_fresh_enrolment_would_say(house: BulkHouse) -> None:
    faces = {(p, i): some_face(p, i, noise=28) for p in range(12) for i in range(3)}
    ids = {p: house.enrol(f"person {p}", [faces[p, i] for i in range(3)]) for p in range(12)}
    strangers = [some_face(p, 20, noise=28) for p in (0, 5, 40, 41)]
    house.finished_job(strangers)
    report = house.run(reindex(house))["report"]
    assert report["min_similarity"] == {"before": MIN_SIMILARITY[OLD], "after": MIN_SIMILARITY[NEW]}

    def answers(model_id: str, probes: list[object], owners: list[int | None]) -> list[str | None]:
        """By plain loops over embeddings made afresh."""
        known = house.embed(model_id, list(faces.values()))
        said: list[str | None] = []
        for probe, skip in zip(house.embed(model_id, probes), owners, strict=True):  # type: ignore[arg-type]
            best: dict[int, float] = {}
            for row, ((person, _), reference) in enumerate(zip(faces, known, strict=True)):
                if row != skip:
                    best[person] = max(best.get(person, -1.0), float(probe @ reference))
            first, second = sorted(best, key=lambda person: -best[person])[:2]
            is_match = best[first] >= MIN_SIMILARITY[model_id] and best[first] - best[second] >= 0.05
            said.append(ids[first] if is_match else None)
        return said

    probes, everybody = list(faces.values()), list(range(len(faces)))
    old, new = (answers(model_id, probes, everybody) for model_id in (OLD, NEW))  # type: ignore[arg-type]
    changed = [i for i in everybody if old[i] != new[i]]
    assert report["samples"]["changed"] == len(changed) > 0
    told = {
        (one["subject_id"], one["before"]["subject_id"], one["after"]["subject_id"])
        for one in report["samples"]["examples"]
    }
    assert told == {(ids[i // 3], old[i], new[i]) for i in changed}
    old, new = (answers(model_id, strangers, [None] * 4) for model_id in (OLD, NEW))  # type: ignore[arg-type]
    assert report["tracks"]["compared"] == 4
    assert [one["track_id"] for one in report["tracks"]["examples"]] == [i for i in range(4) if old[i] != new[i]]


def test_rollback_gives_the_same_answers_and_bounds_again(house: BulkHouse) -> None:
    for person in range(3):
        house.enrol(f"person {person}", [some_face(person)])
    with house.database.transaction() as cursor:
        cursor.execute("update galleries set min_similarity = 0.37")
    probes = [some_face(person, 9) for person in range(4)]
    before = house.best(OLD, probes)
    house.run(reindex(house, min_similarity=0.8))
    assert house.gallery["min_similarity"] == pytest.approx(0.8)
    late = house.enrol("enrolled after the switch", [some_face(77)], model_id=NEW)
    job = house.run(house.reindex.create("staff", model_id=None, options={"is_rollback": True}))
    assert (job["state"], job["report"]["samples"]["embedded"]) == ("succeeded", 1)
    assert (house.gallery["model_id"], house.gallery["previous_model_id"]) == (OLD, NEW)
    assert house.gallery["min_similarity"] == pytest.approx(0.37)
    (found,) = house.best(OLD, [some_face(77)])
    assert found[0].subject_id == late
    house.galleries.delete_subject("staff", late)
    assert house.best(OLD, probes) == before


def test_who_is_enrolled_meanwhile_is_in_both_indexes(house: BulkHouse) -> None:
    house.enrol("early", [some_face(1)])
    job = reindex(house)
    house.run(job, steps=2)  # survey and the only chunk
    during = house.enrol("during", [some_face(2)])
    assert house.run(job)["report"]["samples"]["embedded"] == 2
    (found,) = house.best(NEW, [some_face(2)])
    assert found[0].subject_id == during


def test_who_is_enrolled_in_the_last_moment_is_embedded_before_the_switch(house: BulkHouse) -> None:
    house.enrol("early", [some_face(1)])
    job = reindex(house)
    house.run(job, steps=3)  # survey, chunk, conclusion: the switch is next
    last = house.enrol("last", [some_face(2)])
    assert house.run(job)["report"]["is_switched"]
    (found,) = house.best(NEW, [some_face(2)])
    assert found[0].subject_id == last


def test_a_lost_crop_keeps_the_gallery_where_it_is(house: BulkHouse) -> None:
    house.enrol("ada", [some_face(1), some_face(1, 1)])
    with house.database.transaction() as cursor:
        cursor.execute("select id, crop_key from samples order by id limit 1")
        lost = cursor.fetchone()
    house.blobs.delete(lost["crop_key"])
    job = house.run(reindex(house))
    assert (job["state"], job["error"]["code"], house.gallery["model_id"]) == ("partial", "conflict", OLD)
    assert job["report"]["samples"]["missing_crops"] == [str(lost["id"])]
    assert house.run(reindex(house, allow_missing=True))["state"] == "succeeded"
    assert (house.gallery["model_id"], house.gallery["sample_count"]) == (NEW, 1)


def test_a_manual_switch_waits_for_the_next_reindex(house: BulkHouse) -> None:
    house.enrol("ada", [some_face(1)])
    assert house.run(reindex(house, switch="manual"))["state"] == "succeeded"
    assert (house.gallery["model_id"], rows(house, NEW)) == (OLD, 1)
    again = house.run(reindex(house))
    assert (again["frames_total"], house.gallery["model_id"]) == (0, NEW)


def test_one_reindex_at_a_time(house: BulkHouse) -> None:
    reindex(house)
    with pytest.raises(ConflictError, match="re-indexes the gallery 'staff' already"):
        reindex(house)
    with pytest.raises(ConflictError, match="already"):
        house.reindex.clean("staff")


def test_without_a_former_index_there_is_no_rollback(house: BulkHouse) -> None:
    with pytest.raises(ConflictError, match="no former index"):
        house.reindex.create("staff", model_id=None, options={})


def test_cleaning_leaves_the_live_index_alone(house: BulkHouse) -> None:
    house.enrol("ada", [some_face(1)])
    house.finished_job([some_face(1, 4)])
    house.run(reindex(house))
    after = house.best(NEW, [some_face(1, 3)])
    assert house.reindex.clean("staff") == {"samples": 1, "tracks": 1}
    assert (rows(house, OLD), rows(house, NEW), house.gallery["previous_model_id"]) == (0, 1, None)
    assert house.best(NEW, [some_face(1, 3)]) == after
    with pytest.raises(ConflictError, match="made with model"):
        house.best(OLD, [some_face(1, 3)])


def test_an_erased_subject_is_not_brought_back(house: BulkHouse) -> None:
    gone = house.enrol("gone", [some_face(1)])
    house.enrol("stays", [some_face(2)])
    job = reindex(house)
    house.run(job, steps=1)
    house.galleries.delete_subject("staff", gone)
    assert house.run(job)["state"] == "succeeded"
    assert rows(house, NEW) == 1


def test_a_deleted_gallery_ends_its_reindex(house: BulkHouse) -> None:
    house.enrol("ada", [some_face(1)])
    job = reindex(house)
    house.run(job, steps=1)
    house.galleries.delete("staff")
    ended = house.run(job)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "not_found")
