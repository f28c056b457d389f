"""Real servers for every test that asks for one: PostgreSQL and Redis are started once a session."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psycopg2
import pytest
import redis

from common.errors import ConfigurationError
from common.store.database import Database
from common.store.migrate import migrate
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.redis import EmbeddedRedis

ROOT = Path(__file__).parent.parent
TEMPLATE = "facepipe_template"
REDIS_DATABASES = 1024

_database_numbers = itertools.count(1)
_redis_numbers = itertools.count(1)


@pytest.fixture(autouse=True, scope="session")
def _settings_of_the_developer_do_not_leak_in() -> Iterator[None]:
    """Tests see the defaults of every setting, whatever the shell that started them exports."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("FACEPIPE_") and name != "FACEPIPE_SHARED":
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server for the session, with the template database of the schema.

    It lies outside pytest's folder, whose permissions each further pytest on the machine tightens again: the user
    that root runs PostgreSQL as must be able to pass.
    """
    folder = Path(tempfile.mkdtemp(prefix="facepipe-postgres-"))
    server = EmbeddedPostgres(folder / "data", log=folder / "postgres.log", fsync=False)
    try:
        try:
            server.start()
        except ConfigurationError as error:
            _missing(str(error))
        _execute(server, f"create database {TEMPLATE}")
        database = Database(server.url(TEMPLATE), size=1)
        migrate(database)
        database.close()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis server for the session."""
    folder = tmp_path_factory.mktemp("redis")
    server = EmbeddedRedis(folder, log=folder / "redis.log", databases=REDIS_DATABASES)
    try:
        server.start()
    except ConfigurationError as error:
        _missing(str(error))
    yield server
    server.kill()


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a fresh database without any schema."""
    with _fresh_database(postgres, "template1") as url:
        yield url


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a fresh database with the schema."""
    with _fresh_database(postgres, TEMPLATE) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool on a fresh database with the schema."""
    pool = Database(database_url, application="facepipe-test")
    yield pool
    pool.close()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """URL of an empty numbered database of the session's Redis."""
    url = redis_server.url(next(_redis_numbers) % REDIS_DATABASES)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty FACEPIPE_HOME outside pytest's folder; see `postgres`."""
    with tempfile.TemporaryDirectory(prefix="facepipe-home-") as folder:
        yield Path(folder) / "home"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of optional data (licensed pictures, reference models) beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("FACEPIPE_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(
            f"optional data is absent: no folder {folder.name!r} beside the checkout, and FACEPIPE_SHARED unset"
        )
    return folder


class _fresh_database:  # noqa: N801 - reads as the context manager that it is
    """Copy of a template database, dropped at the end with whoever is still connected."""

    def __init__(self, server: EmbeddedPostgres, template: str) -> None:
        self._server = server
        self._template = template
        self._name = f"test_{next(_database_numbers)}"

    def __enter__(self) -> str:
        _execute(self._server, f"create database {self._name} template {self._template}")
        return self._server.url(self._name)

    def __exit__(self, *_: object) -> None:
        _execute(self._server, f"drop database {self._name} with (force)")


def _execute(server: EmbeddedPostgres, statement: str) -> None:
    connection = psycopg2.connect(server.url("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _missing(reason: str) -> NoReturn:
    """A missing server skips on a developer's machine and fails where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
