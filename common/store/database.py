"""Connections to PostgreSQL: a small pool, transactions, and drivers' errors turned into ours."""

import json
import logging
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.sql

from common.errors import TransientError

log = logging.getLogger("facepipe.database")

psycopg2.extras.register_uuid()

Cursor = Any
"""psycopg2 has no types of its own; rows come as dictionaries."""


class Database:
    """A pool of at most `size` connections; waits for one rather than opening more.

    Args:
        url: libpq URL or connection string.
        size: connections at most.
        application: shown in pg_stat_activity.
    """

    def __init__(self, url: str, *, size: int = 8, application: str = "facepipe") -> None:
        self._url = url
        self._application = application
        self._room = threading.BoundedSemaphore(size)
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def session(self) -> "Session":
        """A connection of one's own, for LISTEN and session locks. Raises TransientError."""
        return Session(self._connect())

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor in one transaction: committed at the end, rolled back on any error.

        Raises:
            TransientError: the connection broke, or the server is shutting down or out of room.
        """
        with self._connection() as connection, connection, connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def statement(self) -> Iterator[Cursor]:
        """A cursor for one statement, which is a transaction by itself: one turn to the server instead of three.

        Raises:
            TransientError: as `transaction`.
        """
        with self._connection() as connection:
            connection.autocommit = True
            try:
                with connection.cursor() as cursor:
                    yield cursor
            finally:
                if not connection.closed:
                    connection.autocommit = False

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """One of the pool's, which is given back at the end."""
        with self._room:
            connection = self._take()
            healthy = False
            try:
                yield connection
                healthy = True
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                raise TransientError(f"The database failed: {str(error).strip()}") from error
            except Exception:
                healthy = True  # whatever was begun was rolled back
                raise
            finally:
                self._give_back(connection, healthy)

    def _connect(self) -> Any:
        try:
            return psycopg2.connect(
                self._url,
                application_name=self._application,
                connect_timeout=5,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                cursor_factory=psycopg2.extras.RealDictCursor,
            )
        except psycopg2.OperationalError as error:
            raise TransientError(f"The database cannot be reached: {str(error).strip()}") from error

    def _take(self) -> Any:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if self._is_alive(connection):
                return connection
            connection.close()
        return self._connect()

    @staticmethod
    def _is_alive(connection: Any) -> bool:
        """An idle connection is silent: one that has something to read was closed by the server."""
        if connection.closed:
            return False
        readable, _, _ = select.select([connection], [], [], 0)
        return not readable

    def _give_back(self, connection: Any, healthy: bool) -> None:
        if healthy and not connection.closed:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()


class Session:
    """A connection that keeps state on the server: what it listens to, and the locks it holds until it is closed.

    Every method raises TransientError when the connection breaks; make a new session then.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        connection.autocommit = True

    def listen(self, channel: str) -> None:
        """Receive what is notified on `channel` from now on."""
        self._execute(psycopg2.sql.SQL("listen {}").format(psycopg2.sql.Identifier(channel)))

    def try_lock(self, key: int) -> bool:
        """Take the advisory lock `key`, if nobody holds it."""
        rows = self._execute("select pg_try_advisory_lock(%s) as mine", (key,))
        return bool(rows[0]["mine"])

    def notifications(self, timeout_s: float) -> list[str]:
        """Payloads received, waiting up to `timeout_s` for the first one."""
        try:
            self._connection.poll()
            if not self._connection.notifies:
                select.select([self._connection], [], [], timeout_s)
                self._connection.poll()
        except (psycopg2.Error, OSError, ValueError) as error:
            raise TransientError(f"The database failed: {str(error).strip()}") from error
        payloads = [notification.payload for notification in self._connection.notifies]
        self._connection.notifies.clear()
        return payloads

    def execute(self, statement: Any) -> list[Any]:
        """Rows of a statement that must not run in a transaction, such as `create index concurrently`."""
        return self._execute(statement)

    def cancel(self) -> None:
        """Stop what another thread is executing, which raises there."""
        self._connection.cancel()

    def close(self) -> None:
        """Give up locks and channels."""
        self._connection.close()

    def _execute(self, statement: Any, parameters: tuple[Any, ...] = ()) -> list[Any]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return list(cursor.fetchall()) if cursor.description else []
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise TransientError(f"The database failed: {str(error).strip()}") from error


def number_array(values: npt.NDArray[Any]) -> str:
    """The text form of an array of numbers; bind it as a parameter and cast it, to real[] say.

    A list would become an expression of which every number is parsed and planned.
    """
    return "{" + json.dumps(values.tolist())[1:-1] + "}"


def row_array(rows: npt.NDArray[Any]) -> str:
    """The text form of a text[] whose elements are the `number_array` of each row; NaN and infinities are kept."""
    return "{" + ",".join(f'"{number_array(row)}"' for row in rows) + "}"


def vector_literal(embedding: npt.NDArray[np.float32]) -> str:
    """The text form of a pgvector value; bind it as a parameter and cast it to halfvec."""
    return "[" + ",".join(map(repr, embedding.astype(float).tolist())) + "]"


def read_vector(text: str) -> npt.NDArray[np.float32]:
    """Inverse of `vector_literal`: (dim,) float32 of a pgvector value that was selected as text."""
    return np.array(text[1:-1].split(","), np.float32)
