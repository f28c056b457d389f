"""Pictures as data URLs."""

import base64
from typing import Any

import pytest

from api.compat.data_url import read_data_url
from common.errors import BadInputError

FILE = bytes(range(256))
PAYLOAD = base64.b64encode(FILE).decode()


@pytest.mark.parametrize("head", ["image/jpeg", "image/jpg", "image/x-anything", "image/svg+xml;charset=utf-8"])
@pytest.mark.parametrize("payload", [PAYLOAD, f" {PAYLOAD}", f"\n{PAYLOAD[:40]}\r\n{PAYLOAD[40:]}\t \n"])
def test_the_file_in_it(head: str, payload: str) -> None:
    assert read_data_url(f"data:{head};base64,{payload}") == FILE


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        {"py/b64": PAYLOAD},
        "",
        PAYLOAD,
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "data:,",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:image/png;base64, ",
        f"data:text/html;base64,{PAYLOAD}",
        f"data:image/;base64,{PAYLOAD}",
        f"data:image/png,{PAYLOAD}",
        f" data:image/png;base64,{PAYLOAD}",
        f"data:image/{'x' * 1000};base64,{PAYLOAD}",
        f"data:image/png;base64,{PAYLOAD[:-1]}",
        f"data:image/png;base64,{PAYLOAD}!",
        f"data:image/png;base64,{PAYLOAD[:-2]}-_",
        "data:image/png;base64,é===",
        "data:image/png;base64,\ud800",
    ],
    ids=lambda text: str(text)[:40].encode("ascii", "replace").decode(),
)
def test_anything_else_is_refused(text: Any) -> None:
    with pytest.raises(BadInputError):
        read_data_url(text)
