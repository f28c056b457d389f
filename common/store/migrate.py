"""Brings the schema up to date; safe when several processes start at once."""

import hashlib
from pathlib import Path

from common.errors import ConfigurationError
from common.store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_KEY = 0x66616365  # "face": one advisory lock for all migrations of a database


def migrate(database: Database) -> list[str]:
    """Apply the migrations that are missing, in order of their numbers, in one transaction.

    Returns:
        Names of the migrations applied now.
    Raises:
        ConfigurationError: an applied migration was edited, or the database is newer than this code.
        TransientError: the database is away.
    """
    files = sorted(MIGRATIONS.glob("[0-9]*.sql"))
    with database.transaction() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        cursor.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, sha256 text not null, applied_at timestamptz not null default now())"
        )
        cursor.execute("select name, sha256 from schema_migrations")
        applied = {row["name"]: row["sha256"] for row in cursor.fetchall()}
        if unknown := sorted(set(applied) - {file.stem for file in files}):
            raise ConfigurationError(
                f"The database has migrations that this version does not know ({', '.join(unknown)}):"
                " it was used by a newer facepipe. Upgrade, or use another database."
            )
        done = []
        for file in files:
            sql = file.read_text()
            digest = hashlib.sha256(sql.encode()).hexdigest()
            if file.stem in applied:
                if applied[file.stem] != digest:
                    raise ConfigurationError(f"Migration {file.stem} was edited after it had been applied.")
                continue
            cursor.execute(sql)
            cursor.execute("insert into schema_migrations (name, sha256) values (%s, %s)", (file.stem, digest))
            done.append(file.stem)
    return done
