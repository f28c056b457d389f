"""Front door for the webhooks' secret: `python -m api.webhooks secret`."""

import argparse
import json
import sys
from collections.abc import Sequence

from api.keys import database_url
from common.errors import FacepipeError
from common.settings import Settings
from common.store.database import Database
from common.store.webhooks import Webhooks


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the secret, which is made if there is none yet; exit status 0, 1 (it failed) or 2 (asked wrongly)."""
    parser = argparse.ArgumentParser(prog="facepipe webhooks", description="Webhooks of this server.")
    commands = parser.add_subparsers(required=True, metavar="secret")
    command = commands.add_parser("secret", help="show what signs the deliveries")
    command.add_argument("--json", action="store_true", help="for scripts")
    asked = parser.parse_args(arguments)
    try:
        settings = Settings()
        database = Database(database_url(settings), size=1, application="facepipe webhooks")
        secret = Webhooks(database).secret(settings.webhook.secret)
        database.close()
    except FacepipeError as error:
        sys.stderr.write(f"facepipe webhooks: {error}\n")
        return 1
    sys.stdout.write((json.dumps({"secret": secret}) if asked.json else secret) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
