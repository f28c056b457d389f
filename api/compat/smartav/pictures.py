"""What smartav_api says of whole pictures: captions and instance segmentation, by the pools of the same names."""

import math
from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, Response
from flask.globals import request

from api.compat.base import describe
from api.compat.data_url import read_data_url
from api.compat.face_table.answers import INVALID, RefusedError, json_answer, text_answer
from api.compat.json_body import read_json
from api.compat.smartav.questions import find_questions, load_corpus
from api.services import EXTENSION, Services
from common.contracts import Objects, Stage
from common.errors import BadInputError, TransientError
from common.picture_pools import HOW_TO_INSTALL, picture_pack

#: Weight files of the original, which it loaded; here they are names for the segmenter of the pack in use.
ENGINES: Final = frozenset(f"yolact_{kind}_54_800000.pth" for kind in ("resnet50", "base", "im700"))
WEIGHTS: Final = "instance_segmentation/yolov7-seg.pt"

_INIT_FIRST: Final = 'Please init engine first by calling "/instance-segmentation/init-engine".'
_MISSING: Final = 'Bad request. Your request is missing "{}".'
_NOUNS: Final[Mapping[Stage, str]] = {"caption": "captioner", "segment": "segmenter"}
_DEVICES: Final = frozenset({"", "cpu", "0", "1", "2", "3"})

_QUESTIONS: Final = 3
_TOP_K: Final = 15
_SCORE_THRESHOLD: Final = 0.15
_IOU_THRESHOLD: Final = 0.45
_MOST: Final = 100


def add_rules(app: Flask) -> None:
    """Add the routes below `/image-captioning` and `/instance-segmentation`.

    Raises:
        ConfigurationError: the corpus of questions cannot be read.
    """
    views = _Views(app.extensions[EXTENSION])
    captions, engine = "/image-captioning", "/instance-segmentation"
    app.add_url_rule(captions, "captions_available", views.is_available, methods=["GET"])
    app.add_url_rule(captions, "caption", views.caption, methods=["POST"])
    app.add_url_rule(f"{engine}/init-engine", "init_engine", views.init_engine, methods=["GET", "POST"])
    app.add_url_rule(f"{engine}/load-model", "load_model", views.load_model, methods=["POST"])
    app.add_url_rule(f"{engine}/detect-objects", "detect_objects", views.detect_objects, methods=["POST"])


class _Views:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._corpus = load_corpus(services.settings.caption.questions)

    def is_available(self) -> Response:
        """What a browser reads that was pointed at the route."""
        return text_answer("Image Captioning module is available.")

    def caption(self) -> Response:
        """A caption, and questions about it where the corpus has some; the keys of both versions."""
        document = _read()
        if isinstance(document, list) and len(document) == 1:  # as the original's manual shows it
            (document,) = document
        if not isinstance(document, dict) or "image" not in document:
            raise RefusedError(INVALID)
        try:
            picture = read_data_url(document["image"])
        except BadInputError as error:
            raise RefusedError(INVALID) from error
        try:
            reason = self._why_away("caption")
        except TransientError as error:
            raise RefusedError("DB connection error occurred", 500) from error
        if reason:
            raise RefusedError(reason, 503)
        caption = self._services.pools.caption(picture)["caption"]
        limit = _whole(document.get("candidate_size"), default=_QUESTIONS)
        found = find_questions(caption, self._corpus, limit=limit)
        questions = [
            {"id": place, "question": entry.question, "options": list(entry.options)} for place, entry in found
        ]
        return json_answer(
            {
                "caption": caption,
                "question": questions[0]["question"] if questions else "",
                "options": questions[0]["options"] if questions else [],
                "text": found[0][1].text if found else "",
                "questions": questions,
            }
        )

    def init_engine(self) -> Response:
        """Nothing has to be loaded any more: the pool has, before it takes its first call."""
        name = _fields().get("model")
        if name is None:
            return text_answer(_MISSING.format("model"), 400)
        if not self._is_known(name):
            known = ", ".join(sorted(self._known()))
            return text_answer(f"Bad request. The model is none of those served: {known}.", 400)
        reason = self._why_away("segment")
        return text_answer(f"{_INIT_FIRST} {reason}", 500) if reason else text_answer("Loading model... Done.")

    def load_model(self) -> Response:
        """The same, as the later version asked for it."""
        fields = _fields()
        is_known = self._is_known(fields.get("weights") or WEIGHTS)
        if not is_known or str(fields.get("device", "")) not in _DEVICES:
            return text_answer("Bad request", 400)
        reason = self._why_away("segment")
        return text_answer(reason, 500) if reason else text_answer("success")

    def detect_objects(self) -> Response:
        """Objects, best first, and the picture of their masks."""
        document = _fields()
        if "image" not in document:
            return text_answer(_MISSING.format("image"), 400)
        try:
            picture = read_data_url(document["image"])
        except BadInputError as error:
            return text_answer(f"Bad request. {error.message}", 400)
        if reason := self._why_away("segment"):
            return text_answer(f"{_INIT_FIRST} {reason}", 500)
        wanted = Objects(
            limit=_whole(document.get("top_k"), default=_TOP_K),
            min_score=_fraction(document.get("score_threshold"), default=_SCORE_THRESHOLD),
            nms_iou=_fraction(document["iou_threshold"], default=_IOU_THRESHOLD)
            if "iou_threshold" in document
            else None,
        )
        try:
            found = self._services.pools.find_objects(picture, wanted)
        except BadInputError as error:
            message, status = describe(error)
            return text_answer(f"Bad request. {message}", status)
        objects = [_describe(each) for each in found["objects"]]
        return json_answer({"mjpg": found["mask_jpeg"], "detected_objects": objects})

    def _why_away(self, stage: Stage) -> str:
        """What a person must do before the pool answers; empty if it lives."""
        if stage in self._services.workers.alive():
            return ""
        noun = _NOUNS[stage]
        if picture_pack(self._services.settings, stage) is None:
            return f"No installed pack has a {noun}: {HOW_TO_INSTALL}."
        return f"A pack with a {noun} is installed, but its pool does not run: start the stack again, or see its log."

    def _known(self) -> set[str]:
        pack = picture_pack(self._services.settings, "segment")
        own = set() if pack is None or pack.manifest.segmenter is None else {pack.name, pack.manifest.segmenter.name}
        return {*ENGINES, WEIGHTS, *own}

    def _is_known(self, name: Any) -> bool:
        """A name is looked up and never opened."""
        return isinstance(name, str) and name in self._known()


def _read() -> Any:
    try:
        return read_json()
    except BadInputError as error:
        raise RefusedError(INVALID) from error


def _fields() -> Mapping[str, Any]:
    """The members of the JSON body, which came with GET too, or of the address; none where it is anything else."""
    try:
        document = read_json()
    except BadInputError:
        return request.args
    return document if isinstance(document, dict) else request.args


def _whole(value: Any, *, default: int) -> int:
    """A number from 1 to a hundred; what cannot be read as one is the default."""
    try:
        return min(max(int(value), 1), _MOST)
    except (TypeError, ValueError, OverflowError):
        return default


def _fraction(value: Any, *, default: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return default if math.isnan(number) else min(max(number, 0.0), 1.0)


def _describe(found: Mapping[str, Any]) -> dict[str, Any]:
    left, top, right, bottom = found["box"]
    return {
        "Class": found["class"],
        "Score": round(found["score"], 2),
        "Rect": {"x": left, "y": top, "w": right - left, "h": bottom - top},
    }
