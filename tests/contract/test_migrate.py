"""Migrations, on a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from common.errors import ConfigurationError
from common.store import migrate as module
from common.store.database import Database
from common.store.migrate import MIGRATIONS, migrate


@pytest.fixture
def empty(empty_database_url: str) -> Database:
    return Database(empty_database_url)


def test_several_processes_that_start_at_once_migrate_once(empty: Database) -> None:
    names = [file.stem for file in sorted(MIGRATIONS.glob("[0-9]*.sql"))]
    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(lambda _: migrate(empty), range(6)))
    assert sorted(applied) == [[]] * 5 + [names]
    assert migrate(empty) == []


def test_a_database_of_a_newer_version_is_refused(empty: Database) -> None:
    migrate(empty)
    with empty.transaction() as cursor:
        cursor.execute("insert into schema_migrations (name, sha256) values ('9999_future', 'x')")
    with pytest.raises(ConfigurationError, match="newer facepipe"):
        migrate(empty)


def test_an_edited_migration_is_refused(empty: Database) -> None:
    migrate(empty)
    with empty.transaction() as cursor:
        cursor.execute("update schema_migrations set sha256 = 'x' where name = '0001_initial'")
    with pytest.raises(ConfigurationError, match="0001_initial was edited"):
        migrate(empty)


def test_a_migration_that_fails_leaves_nothing(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "0001_good.sql").write_text("create table good (a int)")
    (tmp_path / "0002_bad.sql").write_text("create table bad (a nonsense)")
    monkeypatch.setattr(module, "MIGRATIONS", tmp_path)
    with pytest.raises(Exception, match="nonsense"):
        migrate(empty)
    with empty.transaction() as cursor:
        cursor.execute("select count(*) as tables from pg_tables where schemaname = 'public'")
        assert cursor.fetchone()["tables"] == 0


def test_embeddings_stored_before_they_were_bytes_are_the_same_numbers_afterwards(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in MIGRATIONS.glob("000*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    with monkeypatch.context() as before:
        before.setattr(module, "MIGRATIONS", tmp_path)
        migrate(empty)
    numbers = np.array([0.1, -1e-30, 1.0], np.float32)
    job = "00000000-0000-0000-0000-000000000001"
    with empty.transaction() as cursor:
        cursor.execute(
            "insert into jobs (id, state, priority, blob_key, options, model_id)"
            " values (%s, 'queued', 5, 'jobs/a/media', '{}', 'a')",
            (job,),
        )
        cursor.execute(
            "insert into tracklets (job_id, ordinal, tracklet, start_ms, end_ms, detections, first_box, last_box,"
            " quality, embedding, crop_embeddings, crops) values (%s, 0, 0, 0, 0, 1, '{}', '{}', 0.5, %s, '{}', '{}')",
            (job, numbers.astype(float).tolist()),
        )
    migrate(empty)
    with empty.statement() as cursor:
        cursor.execute("select embedding, crop_embeddings from tracklets")
        row = cursor.fetchone()
    assert np.array_equal(np.frombuffer(row["embedding"], ">f4"), numbers)
    assert bytes(row["crop_embeddings"]) == b""
