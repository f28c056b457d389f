"""The bulk job `calibrate` on a real PostgreSQL, by the pool's own handlers."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2.extras
import pytest
from PIL import Image

from common.store.bulk import create_bulk_job
from common.store.database import vector_literal
from common.store.paging import Row
from common.types import Float32s
from tests.contract.bulk_house import DIM, OLD, BulkHouse
from workers.match import calibrate

PEOPLE, SAMPLES = 60, 3


@pytest.fixture
def house(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[BulkHouse]:
    made = BulkHouse(database_url, redis_url, tmp_path)
    yield made
    made.close()


def some_people(people: int = PEOPLE, *, spread: float = 0.6) -> Float32s:
    """(people, SAMPLES, dim) float32, unit length, around centres that are spread evenly."""
    random = np.random.default_rng(4)
    centres = random.normal(size=(people, 1, DIM[OLD]))
    centres /= np.linalg.norm(centres, axis=2, keepdims=True)
    made = centres + spread / np.sqrt(DIM[OLD]) * random.normal(size=(people, SAMPLES, DIM[OLD]))
    return np.asarray(made / np.linalg.norm(made, axis=2, keepdims=True), np.float32)


def enrol(house: BulkHouse, faces: Float32s) -> list[str]:
    """Subjects "person 0", …, with these embeddings; their ids."""
    subjects = [str(uuid.uuid4()) for _ in faces]
    samples = [(str(uuid.uuid4()), subject, one) for subject, mine in zip(subjects, faces, strict=True) for one in mine]
    with house.database.transaction() as cursor:
        psycopg2.extras.execute_values(
            cursor,
            "insert into subjects (id, gallery_id, name) values %s",
            [(subject, house.gallery_id, f"person {number}") for number, subject in enumerate(subjects)],
        )
        psycopg2.extras.execute_values(
            cursor,
            "insert into samples (id, subject_id, det_score, quality, crop_key) values %s",
            [(sample, subject, 0.9, 0.9, "k") for sample, subject, _ in samples],
        )
        psycopg2.extras.execute_values(
            cursor,
            "insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding) values %s",
            [(sample, house.gallery_id, subject, OLD, vector_literal(one)) for sample, subject, one in samples],
        )
    return subjects


def start(house: BulkHouse, **options: Any) -> Row:
    wanted = {"gallery": "staff", "fmr": 1e-2, "fpir": None, "extrapolate": False, "save": False, **options}
    with house.database.transaction() as cursor:
        return create_bulk_job(
            cursor, kind="calibrate", model_id=OLD, options=wanted, gallery_id=house.gallery_id, owner=""
        )


def report_of(house: BulkHouse, **options: Any) -> dict[str, Any]:
    job = house.run(start(house, **options))
    assert job["state"] == "succeeded", job["error"]
    report: dict[str, Any] = job["report"]
    return report


def test_an_empty_gallery_says_nothing(house: BulkHouse) -> None:
    report = report_of(house, save=True)
    assert (report["subjects"], report["recommended"], report["saved"], report["curve"]) == (0, None, False, [])
    assert "enrol at least 20" in report["reason"]


def test_a_gallery_is_measured_drawn_and_left_alone(house: BulkHouse) -> None:
    faces = some_people()
    enrol(house, faces)
    job = house.run(start(house))
    report = job["report"]
    assert (report["subjects"], report["samples"], report["mated_pairs"]) == (60, 180, 180)
    assert report["nonmated_pairs"] == report["all_nonmated_pairs"] == 180 * 177 // 2
    chosen = report["recommended"]
    assert (chosen["basis"], chosen["fmr"], chosen["errors"]) == ("measured", 1e-2, 159)
    flat = faces.reshape(-1, DIM[OLD])
    different = np.repeat(np.arange(60), 3)[:, None] != np.repeat(np.arange(60), 3)[None]
    assert ((flat @ flat.T)[different] >= chosen["min_similarity"]).mean() == pytest.approx(1e-2, rel=0.1)
    assert chosen["fpir"] == pytest.approx(1 - 0.99**60)
    assert [row["fmr"] for row in report["curve"]] == [1e-1, 1e-2]
    assert (report["current_min_similarity"], report["saved"]) == (0.6, False)
    assert house.gallery["min_similarity"] is None
    with Image.open(io.BytesIO(house.blobs.read(f"jobs/{job['id']}/calibration.png"))) as picture:
        assert (picture.format, picture.size) == ("PNG", (960, 600))


def test_the_choice_is_saved_on_the_gallery(house: BulkHouse) -> None:
    enrol(house, some_people())
    report = report_of(house, save=True)
    assert report["saved"]
    assert house.gallery["min_similarity"] == pytest.approx(report["recommended"]["min_similarity"])


def test_a_wish_beyond_the_pairs_is_refused_or_marked_as_modelled(house: BulkHouse) -> None:
    enrol(house, some_people())
    refused = report_of(house, fmr=1e-6)
    assert refused["recommended"] is None
    assert "beyond what 15930 pairs" in refused["reason"]
    modelled = report_of(house, fmr=1e-6, extrapolate=True)["recommended"]
    assert modelled["basis"] == "tail model"
    assert modelled["min_similarity"] > refused["curve"][-1]["min_similarity"]


def test_a_wish_for_the_whole_gallery_asks_for_a_higher_bound(house: BulkHouse) -> None:
    enrol(house, some_people())
    one, all_of_them = report_of(house, fmr=0.2), report_of(house, fmr=None, fpir=0.2)
    assert all_of_them["wished"]["fmr"] == pytest.approx(1 - 0.8 ** (1 / 60))
    assert all_of_them["recommended"]["min_similarity"] > one["recommended"]["min_similarity"]
    assert all_of_them["recommended"]["fpir"] == pytest.approx(0.2)


def test_doubles_and_misplaced_samples_are_named(house: BulkHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "CHUNK_SAMPLES", 50)
    faces = some_people(spread=0.3)
    faces[7] = faces[21]  # one person enrolled twice
    faces[12, 0] = faces[33, 1]  # a picture with the wrong person
    subjects = enrol(house, faces)
    report = report_of(house)
    assert [{one["id"] for one in pair["subjects"]} for pair in report["duplicates"]] == [{subjects[7], subjects[21]}]
    assert {one["name"] for one in report["look_alikes"][0]["subjects"]} == {"person 12", "person 33"}
    (odd,) = [one for one in report["mislabelled"] if one["subject_id"] == subjects[12]]
    assert (odd["name"], odd["other_name"]) == ("person 12", "person 33")
    assert odd["other_similarity"] > 0.99 > odd["own_similarity"]


def test_a_worker_that_dies_loses_nothing(house: BulkHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "CHUNK_SAMPLES", 50)
    enrol(house, some_people())
    expected = report_of(house)
    job = start(house)
    house.run(job, steps=3)
    assert house.claim() != []
    assert house.die() > 0
    assert house.run(job)["report"] == expected


def test_a_gallery_that_is_gone_ends_the_job_with_the_reason(house: BulkHouse) -> None:
    job = start(house)
    house.galleries.delete("staff")
    ended = house.run(job)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "not_found")
