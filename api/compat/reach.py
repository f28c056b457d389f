"""Who may call the older routes: they know no API keys, so this machine alone unless a person opened them.

Pages of other sites may never call them: scripts send no `Origin`, browsers do.
"""

from urllib.parse import urlsplit

from flask import request

from api.auth import Guard, is_loopback
from api.services import Services
from common.errors import BadInputError, ConfigurationError
from common.settings import Settings


def check_reach(settings: Settings) -> None:
    """Raises ConfigurationError when strangers could reach routes that nobody meant to open."""
    if not is_loopback(settings.host) and not settings.compat_open:
        raise ConfigurationError(
            f"FACEPIPE_HOST={settings.host} is beyond loopback, and the routes of FACEPIPE_COMPAT know no API keys:"
            " whoever reaches their ports could use them. Set FACEPIPE_COMPAT_OPEN=true if that is wanted, else"
            " FACEPIPE_HOST=127.0.0.1, or unset FACEPIPE_COMPAT."
        )


class Reach:
    """Looks at each request.

    Args:
        services: `settings.host` is where the process listens.
    """

    def __init__(self, services: Services) -> None:
        host = services.settings.host
        self._local = Guard(services.keys, host) if is_loopback(host) else None

    def check(self) -> None:
        """Before a request: let it in, or raise BadInputError."""
        if self._local is not None:
            self._local.check()
        elif (origin := request.headers.get("Origin")) is not None and not _is_same(origin, request.host):
            raise BadInputError("Pages of other sites may not call this server.", field="Origin")


def _is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False
