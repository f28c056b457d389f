"""Front door for API keys: `python -m api.keys create NAME | list | revoke ID`."""

import argparse
import json
import sys
from collections.abc import Sequence

from common.errors import ConfigurationError, FacepipeError
from common.settings import Settings
from common.store.database import Database
from common.store.keys import Keys
from common.store.paging import Row


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, 1 (it failed) or 2 (asked wrongly)."""
    asked = _parser().parse_args(arguments)
    try:
        database = Database(database_url(Settings()), size=1, application="facepipe keys")
        lines = _run(asked, Keys(database))
        database.close()
    except FacepipeError as error:
        sys.stderr.write(f"facepipe keys: {error}\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _run(asked: argparse.Namespace, keys: Keys) -> list[str]:
    if asked.command == "create":
        key_id, token = keys.create(asked.name)
        if asked.json:
            return [json.dumps({"id": key_id, "name": asked.name, "token": token})]
        return [f"Key {key_id} for {asked.name}. This is the only time that its token is shown:", token]
    if asked.command == "revoke":
        keys.revoke(asked.id)
        return [json.dumps({"id": asked.id})] if asked.json else [f"Key {asked.id} is revoked."]
    rows = keys.list()
    if asked.json:
        return [json.dumps([{**row, **_times(row)} for row in rows])]
    if not rows:
        return ["There are no keys."]
    shown = [(row["id"], f"{row['created_at']:%Y-%m-%d %H:%M}", _state(row), row["name"]) for row in rows]
    return ["  ".join(line) for line in [("id".ljust(12), "created".ljust(16), "state  ", "name"), *shown]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facepipe keys", description="API keys of this server.")
    parser.add_argument("--json", action="store_true", help="for scripts")
    commands = parser.add_subparsers(dest="command", required=True, metavar="create | list | revoke")
    create = commands.add_parser("create", help="make a key and show its token once")
    create.add_argument("name", help="what it is for")
    commands.add_parser("list", help="show the keys, without their secrets")
    revoke = commands.add_parser("revoke", help="make a key useless")
    revoke.add_argument("id", help="as `list` shows it")
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for scripts")
    return parser


def database_url(settings: Settings) -> str:
    """The database of the settings, else of the stack that runs on this home. Raises ConfigurationError."""
    if settings.database_url:
        return settings.database_url
    try:
        return str(json.loads((settings.home / "stack.json").read_text())["database_url"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"There is no stack running on {settings.home.absolute()}: start it with `make up`, or set"
            " FACEPIPE_DATABASE_URL."
        ) from error


def _times(row: Row) -> dict[str, str | None]:
    return {name: None if row[name] is None else str(row[name]) for name in ("created_at", "revoked_at")}


def _state(row: Row) -> str:
    return "revoked" if row["revoked_at"] else "active "


if __name__ == "__main__":
    sys.exit(main())
