"""Twin of init_db.py of 002 and 003: `facepipe compat init-db -H … -P … -d … -u … -p …`.

The flags are taken and not used: the table is a gallery in the database of facepipe, and nothing is written to any
other. Whatever is in it stays, and can be read as the tables that it used to be.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from api.compat.face_table.rules import GALLERY
from api.keys import database_url
from common.errors import FacepipeError, TransientError
from common.models import Models
from common.settings import Settings
from common.store.database import Database
from common.store.face_table import FaceTable
from common.store.face_views import make_face_views
from common.store.migrate import migrate

_FLAGS: Final = {
    "Host": ("-H", "of the database; not used, like the others: facepipe has one of its own"),
    "Port": ("-P", "port"),
    "Dbname": ("-d", "its name"),
    "Username": ("-u", "user"),
    "Password": ("-p", "password"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Say how it went; exit status 0 in every case, as before."""
    asked = vars(_parser().parse_args(arguments))
    is_done = _init(asked)
    sys.stdout.write("Database has been initialized successfully\n" if is_done else "Database initialization failed\n")
    return 0


def _init(asked: dict[str, str | None]) -> bool:
    for name, (letter, _) in _FLAGS.items():
        if asked[name] is None:
            sys.stdout.write(f"{letter}/--{name}: expected one argument\n")
            return False
    try:
        settings = Settings()
        database = Database(database_url(settings), size=1, application="facepipe init_db")
        migrate(database)
        model_id = Models(settings.model_pack, settings.packs_path).active.model_id
        FaceTable(database, GALLERY, model_id).open()
        make_face_views(database, GALLERY)
        database.close()
    except TransientError as error:
        sys.stdout.write(f"{error}\nDatabase Connection Failed\n")
        return False
    except FacepipeError as error:
        sys.stdout.write(f"{error}\n")
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facepipe compat init-db",
        description="Makes the face table of face_recognition_v2 and smartav_api; what is in it stays.",
    )
    for name, (letter, help_text) in _FLAGS.items():
        parser.add_argument(letter, f"--{name}", help=help_text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
