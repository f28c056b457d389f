"""Lists that the server gives page by page."""

from collections.abc import Iterator, Mapping
from typing import Any

from facepipe.errors import ProtocolError
from facepipe.transport import Query, Transport


def items_of(transport: Transport, path: str, query: Query | None = None) -> Iterator[Mapping[str, Any]]:
    """Every item of a list, fetched as needed; a page that breaks is asked for again."""
    wanted: dict[str, str | int | float] = dict(query or {})
    while True:
        page = transport.call("GET", path, query=wanted)
        if not isinstance(page, dict) or not isinstance(page.get("items"), list):
            raise ProtocolError("protocol", f"The server's answer to {path} is no list.")
        yield from page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            return
        wanted["cursor"] = cursor
