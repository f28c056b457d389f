"""Glue of the detect pool: frames → faces, linked into tracklets, with a patch around each."""

from common.contracts import TASK_DETECT
from common.inference.ort import load_session
from common.packs import find_pack, verify
from common.stage.answers import describe_detections
from common.stage.meter import MeteredSession
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.types import Frames
from workers.detect.detector import Detector
from workers.detect.process import detect_faces


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler; loads the detector."""
    settings = runtime.settings.detect
    pack = find_pack(runtime.settings.model_pack, runtime.settings.packs_path)
    verify(pack)
    session = load_session(pack.path(pack.detector), device=settings.device, intra_op_threads=settings.intra_op_threads)
    detector = Detector(MeteredSession(session, runtime.meter), pack.detector, side_px=settings.input_side_px)

    def detect(attempt: Attempt) -> None:
        with attempt.take("frames") as arrays:
            faces = detect_faces(
                Frames.from_arrays(arrays),
                detector,
                batch_size=settings.frames_a_run,
                link=not attempt.is_call,
                check=attempt.check,
            )
        if attempt.answers_here():
            attempt.answer(describe_detections(faces))
        else:
            attempt.put("faces", faces.to_arrays())
            attempt.pass_on("embed")

    return {TASK_DETECT: make_handler(runtime, detect)}
