"""The documentation of this API, as data and as a page."""

import json

from flask import Response, current_app

from api.docs_page import render_docs
from api.openapi import document_of
from api.operations import Routes

routes = Routes("service")


@routes.get("/openapi.json", media_types=("application/json",))
def get_openapi() -> Response:
    """The OpenAPI 3.1 document."""
    return Response(json.dumps(document_of(current_app)), mimetype="application/json")


@routes.get("/docs", media_types=("text/html",))
def get_docs() -> Response:
    """The same as a page to read."""
    return Response(render_docs(document_of(current_app)), mimetype="text/html")
