"""The embedded servers on folders that are not as they should be."""

import os
from pathlib import Path

import psycopg2
import pytest

from common.errors import ConfigurationError
from deploy.embedded.postgres import SOCKET_PATH_LIMIT, EmbeddedPostgres


def server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "data", log=folder / "log", fsync=False)


def count(url: str) -> int:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("create table if not exists visits (at timestamptz)")
            cursor.execute("insert into visits values (now())")
            cursor.execute("select count(*) from visits")
            (visits,) = cursor.fetchone()
            return int(visits)
    finally:
        connection.close()


@pytest.fixture
def folder(home: Path) -> Path:
    home.mkdir()
    return home


@pytest.mark.parametrize("name", ["", "with a space", "ünï%20cödé'", "deep/" * 30])
def test_a_server_works_wherever_it_lies_and_keeps_its_data(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for visits in (1, 2):
        running = server(folder / name)
        running.start()
        try:
            assert count(running.url()) == visits
        finally:
            running.stop()


def test_a_server_that_was_left_behind_is_stopped_first(folder: Path) -> None:
    left_behind = server(folder)
    left_behind.start()
    assert count(left_behind.url()) == 1
    successor = server(folder)
    successor.start()
    try:
        assert count(successor.url()) == 2
    finally:
        successor.stop()
        left_behind.stop()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [("PG_VERSION", "was made by PostgreSQL 9.6"), ("global/pg_control", "ended at its start")],
)
def test_a_damaged_cluster_is_refused_with_the_reason(folder: Path, damage: str, complaint: str) -> None:
    first = server(folder)
    first.start()
    first.stop()
    (folder / "data" / damage).write_text("9.6\n")
    with pytest.raises(ConfigurationError, match=complaint):
        server(folder).start()


def test_other_peoples_files_are_never_touched(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigurationError, match="holds something else"):
        server(folder).start()
    assert (folder / "data" / "letter.txt").read_text() == "dear"


def test_the_socket_lies_where_its_path_is_short_enough(folder: Path) -> None:
    deep = server(folder / ("deep/" * 30))
    path = deep.url().partition("host=")[2].partition("&")[0] + "/.s.PGSQL.5432"
    assert len(os.fsencode(path)) <= SOCKET_PATH_LIMIT
