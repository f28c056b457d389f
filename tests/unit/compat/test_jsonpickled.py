import base64
import json
from typing import Any

import numpy as np
import pytest

from api.compat.jsonpickled import (
    MAX_DEPTH,
    MAX_MARKS,
    MAX_QUOTES,
    RawPicture,
    read_bytes,
    read_number,
    read_picture,
    read_text,
    write_array,
    write_bytes,
    write_picture,
    write_scalar,
)
from common.errors import BadInputError

# What the predecessors' own clients sent, byte for byte.
FRAME_REQUEST = (
    rb'"{\"fps_max\": 1, \"width_max\": 1280, \"height_max\": 720, \"video\": {\"py/b64\": \"AAAAIGZ0eXA=\"}}"'
)
PICTURE = {"py/object": "PIL.Image.Image", "py/state": [{}, "RGB", {"py/tuple": [2, 1]}, None, {"py/b64": "/wAB/wAB"}]}
FILE_AS_ARRAY = {
    "py/reduce": [
        {"py/function": "numpy.core.multiarray._reconstruct"},
        {"py/tuple": [{"py/type": "numpy.ndarray"}, {"py/tuple": [0]}, {"py/b64": "Yg=="}]},
        {
            "py/tuple": [
                1,
                {"py/tuple": [4]},
                {
                    "py/reduce": [
                        {"py/type": "numpy.dtype"},
                        {"py/tuple": ["u1", False, True]},
                        {"py/tuple": [3, "|", None, None, None, -1, -1, 0]},
                    ]
                },
                False,
                {"py/b64": "iVBORw=="},
            ]
        },
    ]
}


def test_a_request_encoded_twice_or_once() -> None:
    once = json.loads(FRAME_REQUEST).encode()
    for body in (FRAME_REQUEST, once):
        request = read_text(body)
        assert read_bytes(request["video"], "video") == b"\0\0\0\x20ftyp"
        assert read_number(request["fps_max"], "fps_max") == 1.0


def test_pictures_of_every_documented_form() -> None:
    assert read_picture(PICTURE, "image", max_px=100) == RawPicture(2, 1, 3, bytes([255, 0, 1, 255, 0, 1]))
    assert read_picture({"py/b64": "iVBORw=="}, "image", max_px=100) == b"\x89PNG"
    assert read_picture(FILE_AS_ARRAY, "image", max_px=100) == b"\x89PNG"
    newer = json.loads(json.dumps(FILE_AS_ARRAY).replace("numpy.core", "numpy._core"))
    assert read_picture(newer, "image", max_px=100) == b"\x89PNG"


@pytest.mark.parametrize("tail", [[""], ["", 3, [{"py/tuple": [1, 2, 3, 4]}]]])
def test_newer_pillow_appends_what_is_ignored(tail: list[Any]) -> None:
    picture = {"py/object": "PIL.JpegImagePlugin.JpegImageFile", "py/state": [*PICTURE["py/state"], *tail]}
    assert isinstance(read_picture(picture, "image", max_px=100), RawPicture)


def changed(state: int, value: Any) -> dict[str, Any]:
    parts = list(PICTURE["py/state"])
    parts[state] = value
    return {"py/object": "PIL.Image.Image", "py/state": parts}


FORBIDDEN = [
    {"py/reduce": [{"py/function": "os.getcwd"}, {"py/tuple": []}]},
    {"py/function": "os.getcwd"},
    {"py/type": "os.system"},
    {"py/object": "subprocess.Popen", "py/state": PICTURE["py/state"]},
    {"py/object": ["PIL.Image.Image"], "py/state": PICTURE["py/state"]},
    {"py/repr": "os/os.getcwd()"},
    {"py/object": "PIL.Image.Image", "py/newargs": {"py/tuple": []}, "py/state": PICTURE["py/state"]},
    {"py/b64": "AAAA", "py/id": 1},
    {"py/id": 1},
    {"py/set": [1]},
    {"py/bytes": "=00"},
    {"py/b85": "00"},
    {"py/b64": "not base64!"},
    {"py/b64": ["AAAA"]},
    changed(1, "P"),
    changed(1, ["RGB"]),
    changed(2, {"py/tuple": [100_000, 100_000]}),
    changed(2, {"py/tuple": [11, 11]}),
    changed(2, {"py/tuple": [2, 0]}),
    changed(2, {"py/tuple": [True, True]}),
    changed(3, [0] * 768),
    changed(4, {"py/b64": "/wAB"}),
    changed(4, {"py/b64": base64.b64encode(bytes(10_000)).decode()}),
    json.loads(json.dumps(FILE_AS_ARRAY).replace('"u1"', '"O"')),
    json.loads(json.dumps(FILE_AS_ARRAY).replace("_reconstruct", "fromfile")),
    json.loads(json.dumps(FILE_AS_ARRAY).replace('{"py/tuple": [4]}', '{"py/tuple": [5]}')),
    "/etc/passwd",
    None,
    [PICTURE],
]


@pytest.mark.parametrize("value", FORBIDDEN, ids=lambda value: json.dumps(value)[:60])
def test_nothing_else_is_decoded(value: Any) -> None:
    with pytest.raises(BadInputError) as refused:
        read_picture(value, "image", max_px=100)
    assert refused.value.field == "image"


def test_an_unhashable_mode_is_refused_not_a_defect() -> None:
    with pytest.raises(BadInputError):
        read_picture(changed(1, {"py/type": "str"}), "image", max_px=100)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b"3", b'"3"', b'"{"', b"[" * (MAX_DEPTH + 1), b"{" * 100_000])
def test_bodies_that_are_no_request(body: bytes) -> None:
    with pytest.raises(BadInputError):
        read_text(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * MAX_MARKS + b"[]]",
        b"[" + b'"",' * MAX_QUOTES + b'""]',
        b'{"a": ' + b"0," * MAX_MARKS + b"0}",
    ],
    ids=["lists", "strings", "numbers"],
)
def test_a_body_that_would_become_many_values_is_not_parsed(body: bytes) -> None:
    with pytest.raises(BadInputError, match="too many values"):
        read_text(body)


def test_one_long_string_is_no_many_values() -> None:
    text = "A" * 8_000_000
    assert read_text(json.dumps(json.dumps({"video": {"py/b64": text}})).encode())["video"] == {"py/b64": text}


def test_brackets_inside_strings_are_not_nesting() -> None:
    assert read_text(json.dumps({"name": "[" * 50 + '\\"{' * 50}).encode())["name"].startswith("[[")


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), [1], 10**400], ids=lambda value: str(value)[:9])
def test_numbers_are_numbers(value: Any) -> None:
    with pytest.raises(BadInputError):
        read_number(value, "fps_max")


def test_an_array_is_written_as_documented() -> None:
    array = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert write_array(array) == {
        "py/reduce": [
            {"py/function": "numpy.core.multiarray._reconstruct"},
            {"py/tuple": [{"py/type": "numpy.ndarray"}, {"py/tuple": [0]}, {"py/b64": "Yg=="}]},
            {
                "py/tuple": [
                    1,
                    {"py/tuple": [5, 2]},
                    {
                        "py/reduce": [
                            {"py/type": "numpy.dtype"},
                            {"py/tuple": ["f4", False, True]},
                            {"py/tuple": [3, "<", None, None, None, -1, -1, 0]},
                        ]
                    },
                    False,
                    {"py/b64": base64.b64encode(array.tobytes()).decode()},
                ]
            },
        ]
    }
    assert write_array(array.T)["py/reduce"][2]["py/tuple"][4] == write_bytes(array.T.tobytes())


def test_scalars_and_pictures_are_written_as_documented() -> None:
    score = write_scalar(np.float64(0.5))
    assert score["py/reduce"][0] == {"py/function": "numpy.core.multiarray.scalar"}
    assert score["py/reduce"][1]["py/tuple"][1] == {"py/b64": base64.b64encode(np.float64(0.5).tobytes()).decode()}
    assert write_picture(2, 1, bytes([255, 0, 1, 255, 0, 1])) == PICTURE
    with pytest.raises(TypeError):
        write_array(np.array(["text"]))
