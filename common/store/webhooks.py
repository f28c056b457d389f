"""Webhooks: promised by a trigger in the transaction that ends a job, and kept until the receiver has answered."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from common.errors import NotFoundError
from common.store.database import Database
from common.store.paging import Page, Row, a_time, an_id, make_page, read_cursor

CHANNEL = "facepipe_webhooks"
"""A new or replayed webhook notifies here."""

WebhookState = Literal["pending", "delivered", "failed"]

_SHOWN = "id, job_id, url, state, attempts, next_at, last_status, last_error, created_at, delivered_at"
_FIRST_PAUSE_S = 5.0
_LAST_PAUSE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to attempt now.

    Attributes:
        attempt: which one it is, from 1.
        job: row of the job as it ended, its values as JSON has them.
    """

    webhook_id: str
    url: str
    attempt: int
    job: Row


class Webhooks:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, *, lease_s: float, crowded: Collection[str] = ()) -> Delivery | None:
        """The webhook that has been due for longest, or None; two callers never get the same one.

        Args:
            lease_s: it is due again after so long, unless `delivered` or `missed` is called before.
            crowded: URLs to leave alone for now.
        """
        with self._database.statement() as cursor:
            cursor.execute(
                "update webhooks set attempts = attempts + 1, tried_since = coalesce(tried_since, now()),"
                " next_at = now() + make_interval(secs => %s) where id = ("
                "  select id from webhooks where state = 'pending' and next_at <= now() and url <> all(%s)"
                "  order by next_at limit 1 for update skip locked)"
                " returning id, url, attempts, job",
                (lease_s, list(crowded)),
            )
            row = cursor.fetchone()
        return None if row is None else Delivery(str(row["id"]), row["url"], row["attempts"], row["job"])

    def delivered(self, delivery: Delivery, status: int) -> None:
        """The receiver took it; also right when a later attempt is under way."""
        with self._database.statement() as cursor:
            cursor.execute(
                "update webhooks set state = 'delivered', last_status = %s, last_error = null, delivered_at = now()"
                " where id = %s and state = 'pending'",
                (status, delivery.webhook_id),
            )

    def missed(
        self, delivery: Delivery, *, status: int | None, error: str, give_up_s: float, is_final: bool = False
    ) -> None:
        """The attempt failed: the next one is due after about as long as it has been tried for, 5 s to 1 h.

        Args:
            status: of the answer, if one came.
            error: what happened, for people.
            give_up_s: the webhook has failed when it would be tried for longer.
            is_final: it has failed whatever the time.
        """
        with self._database.statement() as cursor:
            cursor.execute(
                "with pause as (select id, (0.75 + random() / 2) * greatest(%(first)s, least(%(last)s,"
                "  extract(epoch from now() - tried_since))) * interval '1 second' as length"
                "  from webhooks where id = %(id)s)"
                " update webhooks w set last_status = %(status)s, last_error = %(error)s, next_at = now() + length,"
                " state = case when %(final)s or now() + length > tried_since + make_interval(secs => %(give_up)s)"
                "  then 'failed' else 'pending' end"
                " from pause where w.id = pause.id and state = 'pending' and attempts = %(attempt)s",
                {
                    "id": delivery.webhook_id,
                    "attempt": delivery.attempt,
                    "status": status,
                    "error": error,
                    "first": _FIRST_PAUSE_S,
                    "last": _LAST_PAUSE_S,
                    "final": is_final,
                    "give_up": give_up_s,
                },
            )

    def list(self, *, state: WebhookState | None, job_id: str | None, cursor: str | None, limit: int) -> Page:
        """Webhooks without what they carry, newest first."""
        after = read_cursor(cursor, [a_time, an_id]) if cursor else (None, None)
        with self._database.statement() as db:
            db.execute(
                f"select {_SHOWN} from webhooks where (%(state)s::text is null or state = %(state)s)"  # noqa: S608 - ours
                " and (%(job)s::uuid is null or job_id = %(job)s::uuid)"
                " and (%(id)s::uuid is null or (created_at, id) < (%(time)s::timestamptz, %(id)s::uuid))"
                " order by created_at desc, id desc limit %(limit)s",
                {"state": state, "job": job_id, "time": after[0], "id": after[1], "limit": limit + 1},
            )
            return make_page(db.fetchall(), limit, ["created_at", "id"])

    def replay(self, webhook_id: str) -> Row:
        """Deliver again, at once and with a fresh series of attempts, whatever became of it.

        If an attempt is under way at this moment, its success counts for both.

        Raises:
            NotFoundError: there is no such webhook.
        """
        with self._database.transaction() as cursor:
            cursor.execute(
                "update webhooks set state = 'pending', next_at = now(), tried_since = null, delivered_at = null"  # noqa: S608
                f" where id = %s returning {_SHOWN}",
                (webhook_id,),
            )
            row: Row | None = cursor.fetchone()
            if row is None:
                raise NotFoundError(f"There is no webhook {webhook_id}.")
            cursor.execute("select pg_notify(%s, '')", (CHANNEL,))
            return row

    def secret(self, configured: str) -> str:
        """What signs the deliveries: the operator's, else one that is made at the first call and kept."""
        if configured:
            return configured
        with self._database.transaction() as cursor:
            cursor.execute("select secret from webhook_secret")
            if (kept := cursor.fetchone()) is None:
                made = f"whsec_{secrets.token_hex(24)}"
                cursor.execute("insert into webhook_secret (secret) values (%s) on conflict do nothing", (made,))
                cursor.execute("select secret from webhook_secret")
                kept = cursor.fetchone()
            return str(kept["secret"])
