"""The routes of predecessor 002: its main server, and the node that made vectors for it."""

from flask import Flask, Response
from flask.globals import request

from api.compat import ports_of
from api.compat.base import make_base
from api.compat.face_table import node, rules
from api.compat.face_table.answers import render_error, text_answer
from api.services import Services, services


def make_app(here: Services) -> Flask:
    """The app, on these services."""
    app = make_base("facepipe-002", here, render_error=render_error)
    app.add_url_rule("/", "banner", _banner, methods=["GET"])
    rules.add_rules(app, here, rules.ROOT)
    node.add_rules(app)
    return app


def _banner() -> Response:
    if int(request.environ["SERVER_PORT"]) != ports_of(services().settings)["002"][0]:
        return node.banner()
    return text_answer("<h1 style='color:red'>Face detection server is running!</h1>")
