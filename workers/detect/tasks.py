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
from workers.detect.by_size import DetectorBySize, input_sizes
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.process import detect_faces
from workers.detect.whole_picture import or_whole_picture


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler; loads the detector."""
    settings = runtime.settings.detect
    pack = find_pack(runtime.settings.model_pack, runtime.settings.packs_path)
    verify(pack)
    engine = Engine(
        settings, count=partial(MeteredSession, meter=runtime.meter), cache=runtime.settings.engines_directory
    )

    loaded = engine.load_each(
        pack.path(pack.detector),
        lambda session, row: Detector(session, pack.detector, size=InputSize(row[2], row[1])),
        rows=[(3, size.height_px, size.width_px) for size in input_sizes(settings.input_side_px)],
        batch_size=settings.frames_a_run,
        by_memory=settings.runs_by_memory,
    )
    detectors = Lanes(
        DetectorBySize([lanes.bulk for lanes in loaded.values()]),
        DetectorBySize([lanes.urgent for lanes in loaded.values()]),
        batch_size=min(lanes.batch_size for lanes in loaded.values()),
    )

    def detect(attempt: Attempt) -> None:
        with attempt.take("frames") as arrays:
            frames = Frames.from_arrays(arrays)
            faces = detect_faces(
                frames,
                detectors.lane(urgent=attempt.is_call),
                batch_size=detectors.batch_size,
                link=not attempt.is_call,
                check=attempt.check,
                sure_det_score=pack.detector.tracklet_det_score,
            )
            if attempt.message.whole_picture:
                faces = or_whole_picture(faces, frames)
        if attempt.answers_here():
            attempt.answer(describe_detections(faces))
        else:
            attempt.put("faces", faces.to_arrays())
            attempt.pass_on("embed")

    return {TASK_DETECT: make_handler(runtime, detect)}
