"""Keyset pages: a cursor names the last row that was given, so pages stay right while rows come and go."""

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from common.errors import BadInputError

Row = Mapping[str, Any]

_BIGINT_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order, and the cursor of the next page or None when this is the last one."""

    items: list[Row]
    next_cursor: str | None


def make_page(rows: Sequence[Row], limit: int, keys: Sequence[str]) -> Page:
    """Cut `limit + 1` fetched rows to a page.

    Args:
        rows: at most `limit + 1` rows; one more than asked for means that there is a next page.
        keys: the columns that order the rows, unique together.
    """
    items = list(rows[:limit])
    if len(rows) <= limit:
        return Page(items, None)
    last = [_plain(items[-1][key]) for key in keys]
    text = json.dumps(last, separators=(",", ":"))
    return Page(items, base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))


def read_cursor(cursor: str, kinds: Sequence[Callable[[Any], Any]]) -> tuple[Any, ...]:
    """The ordering values in a cursor, checked by one of the functions below each.

    Raises:
        BadInputError: the cursor was not made by this list.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list):
            raise ValueError("not a list")
        return tuple(kind(value) for kind, value in zip(kinds, values, strict=True))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error) as error:
        raise BadInputError(
            "The cursor is not one that this list gave; begin without a cursor.", field="cursor"
        ) from error


def an_id(value: Any) -> str:
    """A UUID as text. Raises ValueError."""
    return str(uuid.UUID(value))


def a_number(value: Any) -> int:
    """A bigint. Raises ValueError."""
    if type(value) is not int or abs(value) > _BIGINT_MAX:
        raise ValueError("not a bigint")
    return value


def a_time(value: Any) -> str:
    """A time with its zone as text, to the microsecond as PostgreSQL has it. Raises ValueError."""
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError("no time zone")
    return time.astimezone(UTC).isoformat()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)
