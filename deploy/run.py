"""Front door: `python -m deploy.run SERVICE`. Becomes one service of the stack, as images and process managers need it.

The command line is the same that `deploy.up` uses, so that there is one place which knows how a service is started.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from common.contracts import LIVE, PICTURE_STAGES, POOLS
from common.errors import FacepipeError, TransientError
from common.picture_pools import HOW_TO_INSTALL
from common.settings import Settings
from common.store.database import Database
from common.store.migrate import migrate
from deploy.stack import Service, services

_PATIENCE_S = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Does not return for a service; `migrate` returns 0, or 1 with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m deploy.run", description="Become one service of the stack.")
    parser.add_argument("service", choices=["migrate", "api", "compat", LIVE, "housekeeping", "flower", *POOLS])
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        help="(flower) address to listen on; beyond loopback FLOWER_BASIC_AUTH=user:password must be set",
    )
    options = parser.parse_args(argv)
    settings = Settings()
    if options.service == "migrate":
        return _migrate(settings)
    is_open = options.service == "flower" and not options.address.startswith("127.")
    if is_open and not os.environ.get("FLOWER_BASIC_AUTH"):
        print("Flower shows everything to everybody: set FLOWER_BASIC_AUTH=user:password.", file=sys.stderr)
        return 1
    try:
        programs = {each.name: each for each in services(settings, pools={})}
    except FacepipeError as error:
        print(error, file=sys.stderr)
        return 1
    if options.service not in programs:
        print(_why_absent(options.service), file=sys.stderr)
        return 1
    return _become(programs[options.service], options.address)


def _why_absent(service: str) -> str:
    if service in PICTURE_STAGES:
        return f"No installed pack has networks for the {service} pool: {HOW_TO_INSTALL}."
    if service == LIVE:
        return "Live streams need WebRTC (`make live`) and FACEPIPE_COMPAT=001."
    return "FACEPIPE_COMPAT is empty: name the older projects to be served, or `all`."


def _become(service: Service, address: str) -> NoReturn:
    argv = [f"--address={address}" if part.startswith("--address=") else part for part in service.argv]
    os.execve(argv[0], argv, {**os.environ, **service.env})  # noqa: S606 - without a shell is meant


def _migrate(settings: Settings) -> int:
    database = Database(settings.database_url, size=1, application="facepipe migrate")
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            applied = migrate(database)
            break
        except TransientError as error:  # it may still be starting
            if time.monotonic() > deadline:
                print(error, file=sys.stderr)
                return 1
            time.sleep(1)
        except FacepipeError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"applied {', '.join(applied)}" if applied else "up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
