"""The few shapes of jsonpickle that clients of tae898/face send and read, by hand.

jsonpickle itself is never used on what a stranger sends: it imports and calls what the text names. Here a name is only
ever compared with a string, and a `py/…` key that is not expected where it stands is refused.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.errors import BadInputError

#: Nesting of the deepest shape is eight.
MAX_DEPTH: Final = 12

#: What a request may hold beside its few long strings; the shapes of a picture with all its `info` need a fraction.
MAX_QUOTES: Final = 20_000
MAX_MARKS: Final = 100_000

#: Possessive: a string of many megabytes is passed over without a stack of as many places to return to.
_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_MAX_SIDE_PX: Final = 65_535
_IMAGE_CLASSES: Final = frozenset(
    {"PIL.Image.Image", "PIL.JpegImagePlugin.JpegImageFile", "PIL.PngImagePlugin.PngImageFile"}
)
_MODES: Final[Mapping[str, int]] = {"RGB": 3, "L": 1, "RGBA": 4}
_RECONSTRUCT: Final = frozenset({"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"})
_CODES: Final = frozenset({"f4", "f8", "i8"})


@dataclass(frozen=True, slots=True)
class RawPicture:
    """Pixels as Pillow keeps them.

    Attributes:
        width_px, height_px: at least 1.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        data: rows without padding, exactly width x height x channels bytes.
    """

    width_px: int
    height_px: int
    channels: int
    data: bytes


def read_text(body: bytes) -> dict[str, Any]:
    """The document of a request: a JSON string whose content is JSON again, or plain JSON.

    Raises:
        BadInputError: not JSON, nested too deep, or no object.
    """
    document = parse_json(body)
    if isinstance(document, str):
        document = parse_json(document.encode())
    if not isinstance(document, dict):
        raise BadInputError("The body must be a JSON object, encoded once or twice.")
    return document


def read_bytes(value: Any, field: str) -> bytes:
    """A file: `{"py/b64": …}`, or the same as a numpy array of bytes.

    Raises:
        BadInputError: anything else.
    """
    if isinstance(value, dict) and set(value) == {"py/b64"}:
        return _base64(value["py/b64"], field)
    if isinstance(value, dict) and set(value) == {"py/reduce"}:
        return _array_of_bytes(value["py/reduce"], field)
    raise _refused(field)


def read_picture(value: Any, field: str, *, max_px: int) -> bytes | RawPicture:
    """A picture: a file, or the state of a Pillow image.

    Args:
        max_px: width times height at most; checked before anything is decoded.

    Raises:
        BadInputError: anything else, or not as many pixels as it says.
    """
    if not isinstance(value, dict) or "py/object" not in value:
        return read_bytes(value, field)
    state = value.get("py/state")
    is_known = value["py/object"] in _IMAGE_CLASSES if isinstance(value["py/object"], str) else False
    if not is_known or set(value) != {"py/object", "py/state"} or not isinstance(state, list) or len(state) < 5:
        raise _refused(field)
    info, mode, size, palette, pixels = state[:5]
    if not isinstance(info, dict) or not isinstance(mode, str) or mode not in _MODES or palette is not None:
        raise BadInputError(f"{field}: only pictures of mode {', '.join(_MODES)} are taken.", field=field)
    width, height = _size(size, field)
    if width * height > max_px:
        raise BadInputError(f"{field}: {width} x {height} is more than {max_px} pixels.", field=field)
    channels = _MODES[mode]
    wanted = width * height * channels
    if not (isinstance(pixels, dict) and set(pixels) == {"py/b64"} and isinstance(pixels["py/b64"], str)):
        raise _refused(field)
    if len(pixels["py/b64"]) > 4 * (wanted // 3 + 2):
        raise BadInputError(f"{field}: more pixels than {width} x {height}.", field=field)
    data = _base64(pixels["py/b64"], field)
    if len(data) != wanted:
        raise BadInputError(f"{field}: {len(data)} bytes are not {width} x {height} x {channels}.", field=field)
    return RawPicture(width, height, channels, data)


def read_number(value: Any, field: str) -> float:
    """A finite JSON number; a boolean is none. Raises BadInputError."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:  # JSON has integers of any length
        number = math.inf
    if not math.isfinite(number):
        raise BadInputError(f"{field} must be a number.", field=field)
    return number


def write_bytes(data: bytes) -> dict[str, Any]:
    """A file."""
    return {"py/b64": base64.b64encode(data).decode()}


def write_picture(width_px: int, height_px: int, rgb: bytes) -> dict[str, Any]:
    """A Pillow image of mode RGB, from its rows."""
    state = [{}, "RGB", _tuple(width_px, height_px), None, write_bytes(rgb)]
    return {"py/object": "PIL.Image.Image", "py/state": state}


def write_array(array: npt.NDArray[Any]) -> dict[str, Any]:
    """A numpy array of float32 or float64, written so that numpy 1.20 and numpy 2 read it."""
    plain = np.ascontiguousarray(array)
    start = _tuple({"py/type": "numpy.ndarray"}, _tuple(0), {"py/b64": "Yg=="})
    state = _tuple(1, _tuple(*plain.shape), _dtype(plain.dtype), False, write_bytes(_little_endian(plain)))
    return {"py/reduce": [{"py/function": "numpy.core.multiarray._reconstruct"}, start, state]}


def write_scalar(value: np.generic) -> dict[str, Any]:
    """A numpy float32, float64 or int64."""
    data = write_bytes(_little_endian(np.asarray(value)))
    return {"py/reduce": [{"py/function": "numpy.core.multiarray.scalar"}, _tuple(_dtype(value.dtype), data)]}


def parse_json(text: bytes) -> Any:
    """Any JSON, looked over before it is parsed: a few bytes of it may become hundreds in memory.

    Raises:
        BadInputError: not JSON, nested too deep, or too many values.
    """
    if text.count(b'"') > MAX_QUOTES:
        raise BadInputError("The body has too many values.")
    marks = _STRINGS.sub(b"", text)
    if len(marks) > MAX_MARKS:
        raise BadInputError("The body has too many values.")
    depth = deepest = 0
    for bracket in _BRACKETS.findall(marks):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise BadInputError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError("The body is not JSON.") from error


def _base64(text: Any, field: str) -> bytes:
    if not isinstance(text, str):
        raise _refused(field)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInputError(f"{field} is not padded standard base64.", field=field) from error


def _size(value: Any, field: str) -> tuple[int, int]:
    match value:
        case {"py/tuple": [int(width), int(height)]} if not isinstance(width, bool) and not isinstance(height, bool):
            if 1 <= width <= _MAX_SIDE_PX and 1 <= height <= _MAX_SIDE_PX:
                return width, height
    raise BadInputError(f"{field}: the size must be two numbers from 1 to {_MAX_SIDE_PX}.", field=field)


def _array_of_bytes(reduced: Any, field: str) -> bytes:
    match reduced:
        case [
            {"py/function": str(function)},
            {"py/tuple": [{"py/type": "numpy.ndarray"}, {"py/tuple": [0]}, {"py/b64": "Yg=="}]},
            {"py/tuple": [1, {"py/tuple": [int(count), *more]}, {"py/reduce": dtype}, False, {"py/b64": text}]},
        ] if function in _RECONSTRUCT and more in ([], [1]) and _is_byte(dtype):
            data = _base64(text, field)
            if len(data) == count:
                return data
    raise _refused(field)


def _is_byte(dtype: Any) -> bool:
    match dtype:
        case [{"py/type": "numpy.dtype"}, {"py/tuple": ["u1", False, True]}, {"py/tuple": [3, "|", *_]}]:
            return True
    return False


def _dtype(dtype: np.dtype[Any]) -> dict[str, Any]:
    code = f"{dtype.kind}{dtype.itemsize}"
    if code not in _CODES:
        raise TypeError(f"numbers of type {dtype} are not written")
    state = _tuple(3, "<", None, None, None, -1, -1, 0)
    return {"py/reduce": [{"py/type": "numpy.dtype"}, _tuple(code, False, True), state]}


def _little_endian(array: npt.NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _tuple(*items: Any) -> dict[str, Any]:
    return {"py/tuple": list(items)}


def _refused(field: str) -> BadInputError:
    return BadInputError(
        f'{field}: only {{"py/b64": …}} and the documented forms of pictures are read; nothing else is decoded.',
        field=field,
    )
