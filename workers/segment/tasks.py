"""Glue of the segment pool: a picture → its objects and the picture of their masks. Calls alone come here."""

import base64
from functools import partial
from typing import Any

from common.contracts import TASK_SEGMENT
from common.errors import ConfigurationError
from common.inference.engine import Engine
from common.packs import verify
from common.picture_pools import HOW_TO_INSTALL, picture_pack
from common.stage.meter import MeteredSession
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.types import Frames
from workers.segment.masks import encode_labels
from workers.segment.segmenter import Found, Segmenter


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler; loads the segmenter."""
    settings = runtime.settings.segment
    pack = picture_pack(runtime.settings, "segment")
    spec = None if pack is None else pack.manifest.segmenter
    if pack is None or spec is None:
        raise ConfigurationError(f"No installed pack has a segmenter: {HOW_TO_INSTALL}.")
    verify(pack)
    engine = Engine(
        settings, count=partial(MeteredSession, meter=runtime.meter), cache=runtime.settings.engines_directory
    )
    side = spec.input.side_px
    segmenter = engine.load(pack.path(spec), partial(Segmenter, spec=spec), row=(3, side, side), batch_size=1).urgent

    def segment(attempt: Attempt) -> None:
        wanted = attempt.message.objects
        if wanted is None:
            raise ValueError("the message does not say which objects are wanted")
        with attempt.take("frames") as arrays:
            found = segmenter.find(Frames.from_arrays(arrays).pixels[0], wanted, check=attempt.check)
        attempt.answer(_describe(found))

    return {TASK_SEGMENT: make_handler(runtime, segment)}


def _describe(found: Found) -> dict[str, Any]:
    height, width = found.labels.shape
    return {
        "width_px": width,
        "height_px": height,
        "objects": [
            {"class": found.names[index], "score": float(score), "box": box}
            for index, score, box in zip(found.classes.tolist(), found.scores, found.boxes.tolist(), strict=True)
        ],
        "mask_jpeg": base64.b64encode(encode_labels(found.labels)).decode(),
    }
