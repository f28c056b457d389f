"""Is it alive, is it ready, how much is going on."""

from flask import Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.documents.service import Health, Readiness
from api.errors import NotReadyError
from api.metrics import metrics_of
from api.operations import Routes
from api.readiness import live_workers, missing_parts
from api.services import services

routes = Routes("service")


@routes.get("/healthz", answer=Health)
def get_health() -> Health:
    """The process answers."""
    return Health()


@routes.get("/readyz", answer=Readiness)
def get_readiness() -> Readiness:
    """Database, broker, a worker for each stage and housekeeping are there; 503 with `missing` otherwise."""
    here = services()
    if missing := missing_parts(here):
        raise NotReadyError(missing)
    return Readiness(model_id=here.model_id, workers=live_workers(here))


@routes.get("/metrics", media_types=("text/plain",))
def get_metrics() -> Response:
    """Metrics in Prometheus' text format. Request counts are of the process that answers."""
    text = generate_latest(metrics_of(current_app).registry)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
