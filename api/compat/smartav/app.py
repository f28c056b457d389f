"""The routes of predecessor 003: faces, and what is said of whole pictures."""

from flask import Flask

from api.compat.base import make_base
from api.compat.face_table import node, rules
from api.compat.face_table.answers import render_error
from api.compat.smartav import pictures
from api.services import Services


def make_app(here: Services) -> Flask:
    """The app, on these services."""
    app = make_base("facepipe-003", here, render_error=render_error)
    app.add_url_rule("/", "banner", node.banner, methods=["GET"])
    rules.add_rules(app, here, rules.PREFIXED)
    node.add_rules(app)
    pictures.add_rules(app)
    return app
