"""Which URLs of strangers this server may reach: the public web, and what the operator allows by name."""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from common.errors import BadInputError, TransientError

_MAX_LENGTH: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")

#: Special networks of IANA's registries that not every Python 3.11 knows.
_SPECIAL: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv6Network("3fff::/20"),
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class UrlField:
    """What a URL is for.

    Attributes:
        name: the request field that carries it.
        setting: where the operator allows more.
        instead: what the caller may do in place of it.
    """

    name: str
    setting: str
    instead: str


MEDIA_URL: Final = UrlField("media_url", "FACEPIPE_DECODE__FETCH_ALLOW", "upload the file")
WEBHOOK_URL: Final = UrlField("webhook_url", "FACEPIPE_WEBHOOK__ALLOW", "follow the job's events")


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that may be reached, and where to.

    Attributes:
        url: as given.
        scheme: `http` or `https`.
        host: as a certificate names it; an IPv6 address without brackets.
        port: explicit or the scheme's.
        target: path and query, as they go into the request line.
        addresses: what the host resolved to. Connect to one of these and look nothing up again: a second answer of the
            name server may be another one.
    """

    url: str
    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]


def check_url(url: str, allow: frozenset[str] = frozenset(), field: UrlField = MEDIA_URL) -> CheckedUrl:
    """Parse a URL, resolve its host, and refuse it unless every address is on the public internet.

    Args:
        allow: `host:port` pairs (IPv6 addresses in brackets) whose addresses are not checked.
        field: named in what is raised.

    Raises:
        BadInputError: `bad_input` (no URL), `forbidden_url`, or `fetch_failed` (no such host).
        TransientError: the name server does not answer.
    """
    scheme, host, port, target = _parse(url, field)
    addresses = _resolve(host, port, field)
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if name not in allow:
        for address in addresses:
            if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                raise BadInputError(
                    f"{host} is an address of a private or special network, which this server does not reach:"
                    f" {field.instead}, or ask the operator to add {name} to {field.setting}.",
                    "forbidden_url",
                    field.name,
                )
    return CheckedUrl(url, scheme, host, port, target, addresses)


def is_public(address: Address) -> bool:
    """Whether an address is a plain unicast one of the public internet.

    An IPv6 address that carries an IPv4 address is as public as that one.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = _carried(address)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    is_special = address.is_private or address.is_multicast or address.is_reserved
    return address.is_global and not is_special and not any(address in network for network in _SPECIAL)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or int(address) >> 32 == 0:  # the latter: the old ::a.b.c.d
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _parse(url: str, field: UrlField) -> tuple[str, str, int, str]:
    if len(url) > _MAX_LENGTH or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url):
        raise BadInputError(
            f"{field.name} must be a URL of at most {_MAX_LENGTH} characters, none of them blank.", field=field.name
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError as error:  # UnicodeError is one
        raise BadInputError(f"{field.name} is malformed: {error}.", field=field.name) from error
    if parts.scheme not in _PORTS:
        raise BadInputError(f"{field.name} must begin with http:// or https://.", "forbidden_url", field.name)
    if parts.username is not None or parts.password is not None:
        raise BadInputError(f"{field.name} must not carry a user name or password.", "forbidden_url", field.name)
    if not host:
        raise BadInputError(f"{field.name} names no host.", field=field.name)
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return parts.scheme, host, _PORTS[parts.scheme] if port is None else port, target


def _resolve(host: str, port: int, field: UrlField) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise TransientError(
                f"The name {host} cannot be looked up right now.", "fetch_failed", field.name
            ) from error
        raise BadInputError(f"There is no host {host}: check {field.name}.", "fetch_failed", field.name) from error
    except (UnicodeError, OSError) as error:
        raise BadInputError(f"{field.name} names no host: {error}.", field=field.name) from error
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
