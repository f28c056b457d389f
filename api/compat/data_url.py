"""Pictures as data URLs, the one form in which two predecessors take them. Nothing is opened: a path or another URL is
no data URL."""

import base64
import binascii
import re
from typing import Any, Final

from common.errors import BadInputError

#: The subtype is what the client believes; the pools look at the bytes.
_HEAD: Final = re.compile(r"data:image/[^,;\s]{1,64}(?:;[^,;]{1,64})*;base64", re.ASCII)
_LONGEST_HEAD: Final = 256
_WHITESPACE: Final = b" \t\r\n\f\v"


def read_data_url(text: Any) -> bytes:
    """The file in `data:image/<anything>;base64,<payload>`; whitespace in the payload is passed over.

    Raises:
        BadInputError: anything else, also an empty payload.
    """
    if not isinstance(text, str):
        raise BadInputError("A picture must be a data URL: data:image/jpeg;base64,...")
    comma = text.find(",", 0, _LONGEST_HEAD)
    if comma < 0 or _HEAD.fullmatch(text, 0, comma) is None:
        raise BadInputError(
            "A picture must be a data URL: data:image/jpeg;base64,...; paths and addresses are not read."
        )
    try:
        payload = text[comma + 1 :].encode("ascii").translate(None, _WHITESPACE)
        data = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInputError("The picture is not padded standard base64.") from error
    if not data:
        raise BadInputError("The picture is empty.")
    return data
