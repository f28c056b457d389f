"""Who may call: without keys only this machine, and only its own pages; beyond loopback, whoever has an API key.

A loopback server has no keys, so it must not be talked to through a browser that was lured elsewhere: a name that
a stranger points at 127.0.0.1 is seen in `Host`, a stranger's page in `Origin`. Both are refused.
"""

import ipaddress
from urllib.parse import urlsplit

from flask import g, request

from common.errors import BadInputError, FacepipeError
from common.store.keys import Keys

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_SCHEME = "bearer "


class Guard:
    """See the module.

    Args:
        keys: checks tokens.
        host: the address that the API listens on.
    """

    def __init__(self, keys: Keys, host: str) -> None:
        self._keys = keys
        self._host = host
        self.needs_key = not is_loopback(host)

    def check(self) -> None:
        """Before a request: let it in, with `g.owner` set, or raise `unauthorized` or `bad_input`."""
        g.owner = ""
        if request.path in OPEN_PATHS:
            return
        if self.needs_key:
            g.owner = self._check_key(request.headers.get("Authorization", ""))
        else:
            self._check_browser(request.headers.get("Host", ""), request.headers.get("Origin"))

    def _check_key(self, authorization: str) -> str:
        token = authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
        key_id = self._keys.check(token) if token else None
        if key_id is None:
            raise FacepipeError(
                "Send an API key as `Authorization: Bearer fp_…`; `facepipe keys create NAME` makes one.",
                "unauthorized",
            )
        return key_id

    def _check_browser(self, host: str, origin: str | None) -> None:
        name = _host_name(f"//{host}")
        if name is None or not (is_loopback(name) or name == self._host):
            raise BadInputError(
                "This server takes requests for this machine alone, addressed as localhost. To serve others, set"
                " FACEPIPE_HOST to an address beyond loopback and use API keys.",
                field="Host",
            )
        if origin is not None and not is_loopback(_host_name(origin) or ""):
            raise BadInputError("Pages of other sites may not call this server.", field="Origin")


def is_loopback(name: str) -> bool:
    """Whether `name` can only mean this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
