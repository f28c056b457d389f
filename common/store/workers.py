"""Who is alive: every worker process writes its row with its heartbeat."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

from common.store.database import Database

_ALIVE_S = 15


class Workers:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, name: str, stage: str, *, threads: int, device: str, model_ids: list[str]) -> None:
        """Say that `name` lives."""
        with self._database.statement() as cursor:
            cursor.execute(
                "set local synchronous_commit to off;"
                " insert into workers (name, stage, threads, device, model_ids) values (%s, %s, %s, %s, %s)"
                " on conflict (name) do update set stage = excluded.stage, threads = excluded.threads,"
                " device = excluded.device, model_ids = excluded.model_ids, seen_at = now()",
                (name, stage, threads, device, model_ids),
            )

    def forget_silent(self) -> None:
        """Forget those that have been silent for a day."""
        with self._database.statement() as cursor:
            cursor.execute("delete from workers where seen_at < now() - interval '1 day'")

    def gone(self, name: str) -> None:
        """`name` ends in good order."""
        with self._database.statement() as cursor:
            cursor.execute("delete from workers where name = %s", (name,))

    def alive(self, within_s: float = _ALIVE_S) -> dict[str, list[dict[str, Any]]]:
        """Stage to the rows of its workers seen in the last `within_s`; a stage without any is missing."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select * from workers where seen_at between now() - %(span)s and now() + %(span)s order by name",
                {"span": timedelta(seconds=within_s)},  # later than now: the clock was set back, and it may be dead
            )
            by_stage: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for row in cursor.fetchall():
                by_stage[row["stage"]].append(dict(row))
        return dict(by_stage)
