"""Connections to a real PostgreSQL that ends them."""

import time

import pytest

from common.errors import TransientError
from common.store.database import Database


def end_all(url: str) -> None:
    """Have the server end every connection of the pool under test, and wait until it has."""
    other = Database(url, size=1, application="facepipe-other")
    deadline = time.monotonic() + 30
    while True:
        with other.transaction() as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'facepipe-test'"
            )
            if not cursor.fetchall():
                break
        assert time.monotonic() < deadline, "the server does not end them"
    other.close()


def test_idle_connections_that_the_server_closed_are_not_used(database: Database, database_url: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("select 1")
    end_all(database_url)
    with database.transaction() as cursor:
        cursor.execute("select 2 as two")
        assert cursor.fetchone()["two"] == 2


def test_a_connection_that_breaks_while_in_use_is_a_transient_error(database: Database, database_url: str) -> None:
    with pytest.raises(TransientError), database.transaction() as cursor:
        cursor.execute("select 1")
        end_all(database_url)
        cursor.execute("select 2")
    with database.transaction() as cursor:
        cursor.execute("select 3")


def test_a_server_that_is_away_is_a_transient_error() -> None:
    with pytest.raises(TransientError, match="cannot be reached"), Database("postgresql://127.0.0.1:1/x").transaction():
        pass


def test_an_error_rolls_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as cursor:
        cursor.execute("insert into api_keys (id, name, secret_sha256) values ('a', 'a', '')")
        raise ZeroDivisionError
    with database.transaction() as cursor:
        cursor.execute("select count(*) as keys from api_keys")
        assert cursor.fetchone()["keys"] == 0
