"""Counters that outlive the processes which count."""

from collections.abc import Mapping

import psycopg2.extras

from common.metric_names import CounterName
from common.store.database import Cursor, Database

Counts = Mapping[tuple[CounterName, str], float]
"""(name, stage) to a number."""


class Counters:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, counts: Counts) -> None:
        """Add to what is stored."""
        if counts:
            with self._database.statement() as cursor:
                add_counts(cursor, counts)

    def read(self) -> dict[tuple[str, str], float]:
        """Everything counted so far."""
        with self._database.statement() as cursor:
            cursor.execute("select name, stage, value from counters")
            return {(row["name"], row["stage"]): float(row["value"]) for row in cursor.fetchall()}


def add_counts(cursor: Cursor, counts: Counts) -> None:
    """Add in the caller's transaction; rows in a fixed order, so that two writers never wait for each other."""
    psycopg2.extras.execute_values(
        cursor,
        "insert into counters (name, stage, value) values %s"
        " on conflict (name, stage) do update set value = counters.value + excluded.value",
        sorted((name, stage, value) for (name, stage), value in counts.items()),
    )
