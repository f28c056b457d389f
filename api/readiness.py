"""What must be there before a job can end well."""

import redis

from api.services import Services
from common.contracts import STAGES
from common.errors import TransientError

HOUSEKEEPING = "housekeeping"


def missing_parts(services: Services) -> list[str]:
    """Names of what is away: database, migrations, broker, `worker:<stage>`, housekeeping; empty when all is well."""
    missing = _missing_in_database(services)
    try:
        services.redis.ping()
    except redis.RedisError:
        missing.append("broker")
    return missing


def live_workers(services: Services) -> dict[str, int]:
    """Stage to the number of its live processes."""
    alive = services.workers.alive()
    return {stage: len(alive.get(stage, ())) for stage in (*STAGES, HOUSEKEEPING)}


def _missing_in_database(services: Services) -> list[str]:
    try:
        with services.database.transaction() as cursor:
            cursor.execute("select to_regclass('workers') is not null as is_migrated")
            if not cursor.fetchone()["is_migrated"]:
                return ["migrations"]
        count = live_workers(services)
    except TransientError:
        return ["database"]
    missing = [f"worker:{stage}" for stage in STAGES if not count[stage]]
    return missing if count[HOUSEKEEPING] else [*missing, HOUSEKEEPING]
