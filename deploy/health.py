"""Front door: `python -m deploy.health SERVICE`. Exit 0 if it works on this very host, else 1 and why.

The API and Flower must answer; a pool or housekeeping must have written its heartbeat into the database lately, which
it does only while its process runs and reaches the database.
"""

import argparse
import sys
from collections.abc import Sequence

from api.compat import HEALTH_PATH, open_ports
from common.contracts import POOLS
from common.errors import TransientError
from common.settings import Settings, worker_host
from common.store.database import Database
from common.store.workers import Workers
from deploy.stack import api_url, compat_url, flower_url
from deploy.units import answers_ok


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m deploy.health", description="Is this service of this host well?")
    parser.add_argument("service", choices=["api", "compat", "housekeeping", "flower", *POOLS])
    service = parser.parse_args(argv).service
    settings = Settings()
    urls = {"api": f"{api_url(settings)}/healthz", "flower": f"{flower_url(settings)}/healthcheck"}
    if service == "compat" and open_ports(settings):
        urls["compat"] = f"{compat_url(settings)}{HEALTH_PATH}"
    problem = _ask(urls[service]) if service in urls else _look_up(service, settings.database_url)
    if problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _ask(url: str) -> str:
    return "" if answers_ok(url) else f"{url} does not answer 200."


def _look_up(service: str, database_url: str) -> str:
    try:
        rows = Workers(Database(database_url, size=1, application="facepipe health")).alive().get(service, [])
    except TransientError as error:
        return str(error)
    if any(f"@{worker_host()}." in row["name"] for row in rows):
        return ""
    return f"No {service} process of {worker_host()} has shown a sign of life in the last 15 s."


if __name__ == "__main__":
    sys.exit(main())
