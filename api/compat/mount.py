"""One WSGI app for all predecessors: the port of the socket says which of them are meant, then the path."""

import importlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from api.compat import HEALTH_PATH, ports_of, switched_on
from api.compat.reach import check_reach
from api.services import Services, assemble
from common.errors import ConfigurationError
from common.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger("facepipe.compat")


class Mount:
    """See the module.

    Args:
        apps: port to the apps that share it, in order of preference.
    """

    def __init__(self, apps: Mapping[int, Sequence[Flask]]) -> None:
        self.apps = apps

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """WSGI. The port is that of the socket the request came in on, whatever its `Host` says."""
        # clients put paths behind the URL that they are given, and that may end with a slash; a POST is not redirected
        environ["PATH_INFO"] = re.sub("/{2,}", "/", environ.get("PATH_INFO", ""))
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        if path == HEALTH_PATH:
            return Response("ok\n", mimetype="text/plain")(environ, start_response)
        apps = self.apps.get(int(environ["SERVER_PORT"]), ())
        if not apps:
            return Response("Nothing is served on this port.\n", 404)(environ, start_response)
        return choose(apps, path, environ["REQUEST_METHOD"])(environ, start_response)


def choose(apps: Sequence[Flask], path: str, method: str) -> Flask:
    """The first app that serves path and method, else the first that knows the path, else the first."""
    fits = [_fit(app, path, method) for app in apps]
    return apps[fits.index(max(fits))]


def make_mount(settings: Settings) -> Mount:
    """The apps of all predecessors that are switched on, on one set of services.

    Raises:
        ConfigurationError: none is switched on, or strangers could reach them; see also `api.services.assemble`.
    """
    chosen = switched_on(settings)
    if not chosen:
        raise ConfigurationError("FACEPIPE_COMPAT is empty: name the older projects to be served, or `all`.")
    check_reach(settings)
    ports = ports_of(settings)
    services = assemble(settings)
    apps: dict[int, list[Flask]] = {}
    for name, predecessor in chosen.items():
        make_app: Callable[[Services], Flask] = importlib.import_module(predecessor.module).make_app
        app = make_app(services)
        for port in ports[name]:
            apps.setdefault(port, []).append(app)
        log.info("serving %s (%s)", name, predecessor.title)
    return Mount(apps)


def _fit(app: Flask, path: str, method: str) -> int:
    try:
        app.url_map.bind("localhost").match(path, method)
    except RequestRedirect:
        return 2
    except MethodNotAllowed:
        return 1
    except HTTPException:
        return 0
    return 2
