"""The Flask app, put together from services and the route table."""

from flask import Flask

from api.auth import Guard
from api.errors import install_error_handlers
from api.metrics import install_metrics
from api.openapi import install_openapi
from api.operations import all_operations
from api.request_id import assign_request_id, stamp_request_id
from api.routes import (
    audit,
    bulk,
    calibrate,
    docs,
    events,
    footage,
    galleries,
    health,
    index,
    jobs,
    moves,
    people,
    results,
    search,
    webhooks,
)
from api.services import EXTENSION, assemble
from api.uploads import upload_request_class
from common.settings import Settings

OPERATIONS = all_operations(
    [
        jobs.routes,
        events.routes,
        results.routes,
        webhooks.routes,
        galleries.routes,
        bulk.routes,
        index.routes,
        calibrate.routes,
        moves.routes,
        search.routes,
        footage.routes,
        people.routes,
        audit.routes,
        health.routes,
        docs.routes,
    ]
)


def create_app(settings: Settings) -> Flask:
    """An app that serves `OPERATIONS`.

    Raises:
        ConfigurationError: see `api.services.assemble`.
    """
    here = assemble(settings)
    guard = Guard(here.keys, settings.host)
    app = Flask("facepipe", static_folder=None)
    app.extensions[EXTENSION] = here
    app.request_class = upload_request_class(here.blobs)
    app.url_map.merge_slashes = False  # a redirect would be an answer of another shape
    app.before_request(assign_request_id)
    install_metrics(app, here.database, here.workers)
    app.before_request(guard.check)
    app.after_request(stamp_request_id)
    install_error_handlers(app)
    for operation in OPERATIONS:
        app.add_url_rule(operation.rule, operation.name, operation.serve, methods=[operation.method])
    install_openapi(app, OPERATIONS, needs_key=guard.needs_key)
    return app
