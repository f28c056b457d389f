"""API keys: shown once, stored as the hash of their secret."""

import hashlib
import hmac
import re
import secrets
from typing import Final

from common.errors import NotFoundError
from common.store.database import Database
from common.store.paging import Row

_TOKEN: Final = re.compile(r"fp_([0-9a-f]{12})_([0-9a-f]{48})")
_NOBODY: Final = hashlib.sha256(b"").digest()


class Keys:
    """See the module. A token is `fp_<id>_<secret>`; the id may be shown and logged, the secret never."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str) -> tuple[str, str]:
        """A new key.

        Returns:
            Its id, and the token, which cannot be read again.
        """
        key_id, secret = secrets.token_hex(6), secrets.token_hex(24)
        with self._database.statement() as cursor:
            cursor.execute(
                "insert into api_keys (id, name, secret_sha256) values (%s, %s, %s)", (key_id, name, _hash(secret))
            )
        return key_id, f"fp_{key_id}_{secret}"

    def check(self, token: str) -> str | None:
        """Id of the key that `token` belongs to; None if it is malformed, unknown or revoked.

        Secrets are random and long, so one round of SHA-256 is enough, and are compared in constant time.
        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        key_id, secret = match.groups()
        with self._database.statement() as cursor:
            cursor.execute("select secret_sha256 from api_keys where id = %s and revoked_at is null", (key_id,))
            row = cursor.fetchone()
        stored = _NOBODY if row is None else bytes(row["secret_sha256"])
        return key_id if hmac.compare_digest(stored, _hash(secret)) else None

    def revoke(self, key_id: str) -> None:
        """The key opens nothing from now on; revoking twice keeps the first time. Raises NotFoundError."""
        with self._database.statement() as cursor:
            cursor.execute("update api_keys set revoked_at = coalesce(revoked_at, now()) where id = %s", (key_id,))
            if cursor.rowcount == 0:
                raise NotFoundError(f"There is no API key {key_id!r}; list them to see their ids.")

    def list(self) -> list[Row]:
        """Every key without its secret, oldest first."""
        with self._database.statement() as cursor:
            cursor.execute("select id, name, created_at, revoked_at from api_keys order by created_at, id")
            return list(cursor.fetchall())


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
