"""Frames of a video: the request in both its forms, and the answer, written while it is sent."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.compat.jsonpickled import read_bytes, read_number, write_bytes, write_picture
from api.pools import Extraction
from api.schemas import validate
from common.contracts import Extract
from common.errors import BadInputError

Encoding = Literal["jpeg", "rgb"]

#: Of every answer: with its charset, or old clients guess it from a hundred megabytes of text.
CONTENT_TYPE: Final = "application/json; charset=utf-8"

_LONGEST_PX: Final = 1 << 31


class FrameForm(BaseModel):
    """Which frames are wanted: the text fields of the form, or the numbers of the JSON document.

    Attributes:
        fps_max: about so many frames a second; as many as the video has, if that is fewer.
        width_max, height_max: in pixels; larger frames are made smaller.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    fps_max: float = Field(gt=0)
    width_max: int = Field(ge=1, le=_LONGEST_PX)
    height_max: int = Field(ge=1, le=_LONGEST_PX)

    def extract(self, encoding: Encoding, *, max_bytes: int) -> Extract:
        """What the decode pool is asked."""
        return Extract(self.fps_max, self.width_max, self.height_max, encoding, max_bytes, into="")


def read_request(document: Mapping[str, Any]) -> tuple[FrameForm, bytes]:
    """The JSON form.

    Returns:
        What is wanted, and the video file.
    Raises:
        BadInputError: a key is missing or of another kind.
    """
    for field in ("video", "fps_max", "width_max", "height_max"):
        if field not in document:
            raise BadInputError(f"{field} is missing.", field=field)
    fps_max = read_number(document["fps_max"], "fps_max")
    width_max, height_max = (math.floor(read_number(document[field], field)) for field in ("width_max", "height_max"))
    form = validate(FrameForm, {"fps_max": fps_max, "width_max": width_max, "height_max": height_max})
    return form, read_bytes(document["video"], "video")


def answer(extraction: Extraction, encoding: Encoding) -> Response:
    """Frames and metadata; `extraction` is closed when all is sent, or the client is gone."""
    found = extraction.document
    writers = [_writer(encoding, *size) for size in found["sizes"]]
    ends = [0, *found["ends"]]
    lengths = [
        len(json.dumps(write(b""))) + 4 * -(-(end - start) // 3)
        for write, start, end in zip(writers, ends, ends[1:], strict=False)
    ]
    head, tail = b'{"frames": [', b'], "metadata": ' + json.dumps(_metadata(found)).encode() + b"}"

    def parts() -> Iterator[bytes]:
        yield head
        for number, (write, picture) in enumerate(zip(writers, extraction.pictures(), strict=True)):
            yield (b", " if number else b"") + json.dumps(write(picture)).encode()
        yield tail

    response = Response(parts(), content_type=CONTENT_TYPE)
    response.content_length = len(head) + sum(lengths) + 2 * (len(lengths) - 1) + len(tail)
    response.call_on_close(extraction.close)
    return response


def _writer(encoding: Encoding, width_px: int, height_px: int) -> Callable[[bytes], dict[str, Any]]:
    return write_bytes if encoding == "jpeg" else partial(write_picture, width_px, height_px)


def _metadata(found: Mapping[str, Any]) -> dict[str, Any]:
    """In the order in which clients write it to a file."""
    kept, decoded, fps = len(found["indices"]), found["decoded"], found["fps"]
    duration_s = decoded / fps
    width_px, height_px = found["sizes"][-1]
    return {
        "num_frames_original": decoded,
        "num_frames": kept,
        "duration_seconds": duration_s,
        "fps_original": fps,
        "fps": kept / duration_s,
        "width_original": found["width_px"],
        "height_original": found["height_px"],
        "width": width_px,
        "height": height_px,
        "frame_idx_original": list(found["indices"]),
    }
