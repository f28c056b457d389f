"""Glue of the detect pool: frames → faces, linked into tracklets, with a patch around each."""

from functools import partial

from common.contracts import TASK_DETECT
from common.inference.engine import Engine, Lanes
from common.packs import find_pack, verify
from common.stage.answers import describe_detections
from common.stage.meter import MeteredSession
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.types import Frames
from workers.detect.by_size import SMALL_SIDE_PX, DetectorBySize, make_small
from workers.detect.detector import Detector
from workers.detect.process import detect_faces


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler; loads the detector."""
    settings = runtime.settings.detect
    pack = find_pack(runtime.settings.model_pack, runtime.settings.packs_path)
    verify(pack)
    engine = Engine(settings, count=partial(MeteredSession, meter=runtime.meter))

    def load(side_px: int) -> Lanes[Detector]:
        return engine.load(
            pack.path(pack.detector),
            partial(Detector, spec=pack.detector, side_px=side_px),
            row=(3, side_px, side_px),
            batch_size=settings.frames_a_run,
        )

    large = load(settings.input_side_px)
    small = make_small(load) if settings.input_side_px > SMALL_SIDE_PX else None
    detectors = Lanes(
        DetectorBySize(large.bulk, None if small is None else small.bulk),
        DetectorBySize(large.urgent, None if small is None else small.urgent),
    )

    def detect(attempt: Attempt) -> None:
        with attempt.take("frames") as arrays:
            faces = detect_faces(
                Frames.from_arrays(arrays),
                detectors.lane(urgent=attempt.is_call),
                batch_size=settings.frames_a_run,
                link=not attempt.is_call,
                check=attempt.check,
                sure_det_score=pack.detector.tracklet_det_score,
            )
        if attempt.answers_here():
            attempt.answer(describe_detections(faces))
        else:
            attempt.put("faces", faces.to_arrays())
            attempt.pass_on("embed")

    return {TASK_DETECT: make_handler(runtime, detect)}
