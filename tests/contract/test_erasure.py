"""What erasing somebody promises, on the real database and a real folder of blobs."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from common.blobs.files import FileBlobStore
from common.errors import NotFoundError
from common.store.audit import Audit, Entry, auditing
from common.store.database import Database
from common.store.erasure import Erasure, is_genuine
from common.store.exports import Exports
from common.store.galleries import Galleries, NewSample, NewSubject
from tests.builders import a_job, a_unit_vector

MODEL = "test-model"

#: Tables that keep the id on purpose: who was erased, and by whom.
KEPT = {"audit", "erased_subjects", "exported_subjects"}


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path)


@pytest.fixture
def erasure(database: Database, blobs: FileBlobStore) -> Erasure:
    return Erasure(database, blobs)


class House:
    """Ada and Bob in a gallery; a finished job with two tracks of Ada, one of Bob that Ada was a candidate of."""

    def __init__(self, database: Database, blobs: FileBlobStore) -> None:
        self.database = database
        self.blobs = blobs
        self.galleries = Galleries(database)
        self.gallery_id = str(uuid.uuid4())
        self.galleries.create(self.gallery_id, "staff", MODEL, None)
        self.ada, self.bob = self._enrol("Ada"), self._enrol("Bob")
        self.job = a_job(database)
        self._end("succeeded")
        self.track(0, self.ada, [(self.ada, 0.8), (self.bob, 0.1)])
        self.track(1, self.bob, [(self.bob, 0.7), (self.ada, 0.2)])
        self.track(2, None, [(self.ada, 0.3), (self.bob, 0.2)])

    def _enrol(self, name: str) -> str:
        subject_id, sample_id = str(uuid.uuid4()), str(uuid.uuid4())
        key = f"galleries/{self.gallery_id}/{subject_id}/{sample_id}.jpg"
        self.blobs.put(key, b"crop")
        sample = NewSample(sample_id, 0.9, 0.5, key, a_unit_vector().tolist())
        self.galleries.add_subject("staff", MODEL, NewSubject(subject_id, name, None, {}), [sample])
        return subject_id

    def _end(self, state: str) -> None:
        self.execute(
            "update jobs set state = %s, gallery_id = %s, faces = 3 where id = %s", state, self.gallery_id, self.job
        )

    def track(self, number: int, subject: str | None, candidates: Sequence[tuple[str, float]]) -> None:
        """A track with one tracklet of one detection, its pictures and its appearance."""
        listed = json.dumps([{"subject_id": one, "similarity": similarity} for one, similarity in candidates])
        self.execute(
            "insert into detections (job_id, frame_index, face, ordinal, media_time_ms, box, landmarks, det_score,"
            " tracklet) values (%s, 0, %s, 0, 0, '{1,2,3,4}', '{1,2,3,4,5,6,7,8,9,10}', 0.9, %s)",
            *(self.job, number, number),
        )
        self.execute(
            "insert into tracklets (job_id, ordinal, tracklet, start_ms, end_ms, detections, first_box, last_box,"
            " quality, embedding, crop_embeddings, crops, track)"
            " values (%s, 0, %s, 0, 0, 1, '{1,2,3,4}', '{1,2,3,4}', 0.5, '\\x3f800000', '\\x3f800000', '{}', %s)",
            *(self.job, number, number),
        )
        self.execute(
            "insert into tracks (job_id, track, start_ms, end_ms, detections, quality, subject_id, stranger,"
            " similarity, candidates, crops) values (%s, %s, 0, 0, 1, 0.5, %s, %s, %s, %s, 2)",
            *(self.job, number, subject, None if subject else 1, candidates[0][1], listed),
        )
        self.execute(
            "insert into track_embeddings (job_id, track, model_id, embedding) values (%s, %s, %s, '[1,0]')",
            *(self.job, number, MODEL),
        )
        self.execute(
            "insert into appearances (job_id, appearance, subject_id, stranger, start_ms, end_ms, best_similarity,"
            " detections, best_track) values (%s, %s, %s, %s, 0, 0, 0.5, 1, %s)",
            *(self.job, number, subject, None if subject else 1, number),
        )
        for picture in ("0", "1", "thumb"):
            self.blobs.put(f"jobs/{self.job}/tracks/{number}.{picture}.jpg", b"jpeg")

    def execute(self, statement: str, *values: object) -> list[Any]:
        with self.database.transaction() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    def mentions(self, needle: str) -> set[str]:
        """Tables with a row whose text has `needle`."""
        tables = [
            row["name"]
            for row in self.execute(
                "select table_name as name from information_schema.tables"
                " where table_schema = 'public' and table_type = 'BASE TABLE'"
            )
        ]
        return {
            table
            for table in tables
            if self.execute(f"select 1 from {table} t where position(%s in t::text) > 0 limit 1", needle)
        }


@pytest.fixture
def house(database: Database, blobs: FileBlobStore) -> House:
    return House(database, blobs)


def test_nothing_is_left_of_an_erased_person(house: House, erasure: Erasure, tmp_path: Path) -> None:
    assert house.mentions(house.ada) >= {"subjects", "samples", "sample_embeddings", "tracks", "appearances"}
    receipt = erasure.erase("staff", house.ada)
    assert house.mentions(house.ada) <= KEPT
    files = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert [name for name in files if house.ada in name or "/tracks/0." in name] == []
    assert receipt["removed"] == {
        "tracks": 1,
        "track_crops": 2,
        "thumbnails": 1,
        "detections": 1,
        "tracklets": 1,
        "track_embeddings": 1,
        "appearances": 1,
        "unknown_people": 0,
        "candidate_lists": 2,
        "samples": 1,
        "sample_crops": 1,
        "sample_embeddings": {MODEL: 1},
        "documents_changed": 0,
    }


def test_everybody_else_stays(house: House, erasure: Erasure, tmp_path: Path) -> None:
    erasure.erase("staff", house.ada)
    assert house.galleries.subject("staff", house.bob)["sample_count"] == 1
    rows = house.execute("select track, subject_id, stranger, similarity, candidates from tracks order by track")
    assert [(row["track"], str(row["subject_id"] or ""), row["stranger"]) for row in rows] == [
        (1, house.bob, None),
        (2, "", 1),
    ]
    assert rows[0]["candidates"] == [{"subject_id": house.bob, "similarity": 0.7}]
    assert rows[0]["similarity"] == pytest.approx(0.7)
    assert rows[1]["similarity"] == pytest.approx(0.2)  # to the closest that is left
    assert house.execute("select faces from jobs")[0]["faces"] == 2
    assert len([path for path in tmp_path.rglob("*.jpg") if "tracks" in str(path)]) == 6


def test_a_receipt_is_kept_in_the_audit_and_shows_when_it_was_changed(
    house: House, erasure: Erasure, database: Database
) -> None:
    with auditing(Entry("erase", "k1", "r1", "staff", house.ada)):
        receipt = erasure.erase("staff", house.ada)
    (line,) = Audit(database).list(action="erase", subject_id=house.ada, cursor=None, limit=5).items
    assert line["receipt"] == receipt
    assert (receipt["key_id"], receipt["request_id"]) == ("k1", "r1")
    assert is_genuine(receipt)
    assert is_genuine(json.loads(json.dumps(receipt)))
    assert not is_genuine({**receipt, "gallery": "other"})
    assert "Ada" not in json.dumps(receipt)


def test_exports_that_hold_the_person_are_named(house: House, erasure: Erasure, database: Database) -> None:
    exports = Exports(database)
    head = exports.begin("staff", "staff.zip")
    assert len(list(exports.subjects(head["export_id"], str(head["id"])))) == 2
    exports.end(head["export_id"])
    exports.begin("staff", "never-read.zip")
    receipt = erasure.erase("staff", house.ada)
    assert [(one["id"], one["label"], one["is_complete"]) for one in receipt["exports"]] == [
        (head["export_id"], "staff.zip", True)
    ]


def test_jobs_where_the_face_may_still_be_are_named(house: House, erasure: Erasure, database: Database) -> None:
    running = a_job(database)
    house.execute("update jobs set state = 'running', gallery_id = %s where id = %s", house.gallery_id, running)
    house._end("partial")
    receipt = erasure.erase("staff", house.ada)
    assert receipt["jobs_under_way"] == [running]
    assert receipt["jobs_with_media"] == [house.job]


def test_a_job_that_ends_after_the_erasure_stores_nothing_of_the_person(house: House, erasure: Erasure) -> None:
    erasure.erase("staff", house.ada)
    house.track(7, None, [(house.ada, 0.8), (house.bob, 0.1)])
    assert house.mentions(house.ada) <= KEPT
    (row,) = house.execute("select candidates from tracks where track = 7")
    assert row["candidates"] == [{"subject_id": house.bob, "similarity": 0.1}]


def test_reports_of_bulk_jobs_lose_their_entries_about_the_person(house: House, erasure: Erasure) -> None:
    report = {
        "changed": [{"before": {"subject_id": house.ada, "name": "Ada"}, "track": 1}, {"subject_id": house.bob}],
        "worst": {"subject_id": house.ada, "name": "Ada"},
        "by_subject": {house.ada: 3, house.bob: 1},
        "subjects": [house.ada, house.bob],
    }
    house.execute("update jobs set report = %s where id = %s", json.dumps(report), house.job)
    receipt = erasure.erase("staff", house.ada)
    assert receipt["removed"]["documents_changed"] == 1
    assert house.mentions(house.ada) <= KEPT
    (row,) = house.execute("select report from jobs")
    assert row["report"] == {
        "changed": [{"subject_id": house.bob}],
        "worst": None,
        "by_subject": {house.bob: 1},
        "subjects": [house.bob],
    }


def test_an_erasure_that_fails_changes_nothing(house: House, erasure: Erasure, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    house.execute(
        "create function fail() returns trigger language plpgsql as $$ begin raise exception 'full'; end $$;"
        "create trigger fail before delete on subjects for each row execute function fail()"
    )
    with pytest.raises(psycopg2.Error, match="full"):
        erasure.erase("staff", house.ada)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(house.execute("select 1 from tracks")) == 3
    assert house.execute("select * from doomed_blobs") == house.execute("select * from erased_subjects") == []


def test_pictures_go_later_when_the_process_dies_in_between(
    house: House, database: Database, blobs: FileBlobStore, tmp_path: Path
) -> None:
    class Dies(FileBlobStore):
        def delete(self, prefix: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Erasure(database, Dies(tmp_path)).erase("staff", house.ada)
    assert list(tmp_path.rglob(f"{house.ada}/*")) != []
    later = Erasure(database, blobs)
    assert later.remove_doomed() == 4
    assert list(tmp_path.rglob(f"{house.ada}/*")) == []
    assert later.remove_doomed() == 0


def test_whoever_is_not_there_cannot_be_erased(house: House, erasure: Erasure) -> None:
    with pytest.raises(NotFoundError):
        erasure.erase("nowhere", house.ada)
    with pytest.raises(NotFoundError):
        erasure.erase("staff", str(uuid.uuid4()))
    erasure.erase("staff", house.ada)
    with pytest.raises(NotFoundError):
        erasure.erase("staff", house.ada)
