"""What the views call: every store and adapter, assembled once a process."""

from dataclasses import dataclass
from typing import cast

import redis
from flask import current_app

from api.pools import Pools
from api.streams import Slots
from common.blobs.files import FileBlobStore
from common.calls import CallDesk, connect_redis
from common.errors import ConfigurationError
from common.models import Models
from common.packs import find_pack
from common.ports import BlobStore
from common.settings import Settings
from common.store.approximate import ApproximateIndexes
from common.store.audit import Audit
from common.store.changes import JobChanges
from common.store.database import Database
from common.store.erasure import Erasure
from common.store.exports import Exports
from common.store.footage import Footage
from common.store.galleries import Galleries
from common.store.imports import Imports
from common.store.jobs import Jobs
from common.store.keys import Keys
from common.store.people import People
from common.store.reindex import Reindex
from common.store.rematch import Rematch
from common.store.results import Results
from common.store.webhooks import Webhooks
from common.store.workers import Workers

EXTENSION = "facepipe"


@dataclass(frozen=True, slots=True)
class Services:
    """See the module.

    Attributes:
        model_id: embedding model of the active pack.
        has_attributes: whether the active pack has a network that guesses them.
        min_similarity: what holds when neither the caller nor the gallery says: the setting, else the calibrated value.
        event_slots: how many may follow a job at once.
    """

    settings: Settings
    model_id: str
    has_attributes: bool
    min_similarity: float
    models: Models
    database: Database
    redis: "redis.Redis"
    blobs: BlobStore
    galleries: Galleries
    jobs: Jobs
    results: Results
    footage: Footage
    people: People
    changes: JobChanges
    keys: Keys
    webhooks: Webhooks
    workers: Workers
    audit: Audit
    erasure: Erasure
    exports: Exports
    imports: Imports
    reindex: Reindex
    rematch: Rematch
    approximate: ApproximateIndexes
    pools: Pools
    event_slots: Slots


def assemble(settings: Settings) -> Services:
    """Build everything from the settings; connects to nothing yet.

    Raises:
        ConfigurationError: no server is named, or the model pack is missing or broken.
    """
    if not settings.database_url or not settings.redis_url:
        raise ConfigurationError(
            "The API needs FACEPIPE_DATABASE_URL and FACEPIPE_REDIS_URL; `make up` starts both servers and sets them."
        )
    pack = find_pack(settings.model_pack, settings.packs_path)
    calibrated = pack.embedder.min_similarity_at()
    database = Database(settings.database_url, size=min(settings.api.threads, 16), application="facepipe api")
    client = connect_redis(settings.redis_url)
    blobs = FileBlobStore(settings.blobs_directory)
    jobs = Jobs(database, max_open=settings.api.max_open_jobs, max_open_per_owner=settings.api.max_open_jobs_per_key)
    desk = CallDesk(client)
    return Services(
        settings=settings,
        model_id=pack.model_id,
        has_attributes=pack.attributes is not None,
        min_similarity=calibrated if settings.match.min_similarity is None else settings.match.min_similarity,
        models=Models(settings.model_pack, settings.packs_path, min_similarity=settings.match.min_similarity),
        database=database,
        redis=client,
        blobs=blobs,
        galleries=Galleries(database),
        jobs=jobs,
        results=Results(database),
        footage=Footage(database),
        people=People(database),
        changes=JobChanges(database, jobs),
        keys=Keys(database),
        webhooks=Webhooks(database),
        workers=Workers(database),
        audit=Audit(database),
        erasure=Erasure(database, blobs),
        exports=Exports(database),
        imports=Imports(database),
        reindex=Reindex(database),
        rematch=Rematch(database),
        approximate=ApproximateIndexes(database),
        pools=Pools(desk, blobs, model_id=pack.model_id, timeout_s=settings.api.call_timeout_s),
        event_slots=Slots(settings.api.max_event_streams),
    )


def services() -> Services:
    """The services of the running app; for views."""
    return cast(Services, current_app.extensions[EXTENSION])
