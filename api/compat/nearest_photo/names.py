"""Names of photographs: whose they are, and which are allowed."""

import re
from typing import Final

from common.errors import BadInputError

_NAME: Final = re.compile(r"[\w .-]{1,64}")
_LETTER: Final = re.compile(r"[^\W_]")
_NUMBERED: Final = re.compile(r"(.+)_[0-9]+")


def check_name(name: str) -> str:
    """The name itself. It is never part of a path.

    Raises:
        BadInputError: it has other signs than letters, digits, spaces and `_.-`, or none of the first two.
    """
    if _NAME.fullmatch(name) is None or _LETTER.search(name) is None:
        raise BadInputError(
            "A name has 1 to 64 letters, digits, spaces, dots, hyphens or underscores, and at least one letter or"
            " digit: thomas_1."
        )
    return name


def person_of(name: str) -> str:
    """Whose photograph it is: the name without a number at its end, `anna_maria` of `anna_maria_2`."""
    numbered = _NUMBERED.fullmatch(name)
    return name if numbered is None or _LETTER.search(numbered[1]) is None else numbered[1]
