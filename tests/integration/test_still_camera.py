"""A camera before which nothing moves: the same faces for fewer runs of the network.

Encoders that refine a still picture, or use B-frames, make frames that differ a little; these are all looked at.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from common.ffmpeg import find_ffmpeg
from common.frames.files import FileFrameStore, FileFrameWriter
from common.inference.ort import load_session
from common.packs import find_pack
from common.ports import ModelSession
from common.records import Segment
from common.types import Arrays, Frames, Uint8s
from tests.integration.models_fixtures import MODELS, no_check, read_photograph
from tests.media import run_ffmpeg
from workers.decode.command import Decoder
from workers.decode.probe import probe_video
from workers.decode.segments import frames_layout, plan_segments
from workers.decode.video import read_segments
from workers.detect.by_size import DetectorBySize
from workers.detect.pictures import open_pictures
from workers.detect.process import detect_faces

MINI = find_pack("mini", [MODELS])
FRAME_FIELDS = ("pixels", "frame_index", "media_time_ms", "yuv_to_rgb")


@pytest.fixture(scope="module")
def photograph() -> Uint8s:
    return read_photograph()


class Counted:
    """Counts the rows that a network is given."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session
        self.inputs, self.outputs = session.inputs, session.outputs
        self.rows = 0

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        self.rows += len(next(iter(feeds.values())))
        return self._session.run(feeds)


def test_a_still_camera_costs_few_runs_and_changes_no_face(photograph: Uint8s, tmp_path: Path) -> None:
    """Through an encoder and back: a scene in which nothing moves, then one that does."""
    picture, video = tmp_path / "scene.png", str(tmp_path / "still.mp4")
    Image.fromarray(photograph[:480, :480]).save(picture)
    moves = "zoompan=z='if(lt(on,75),1,1+0.02*(on-75))':d=1:s=480x480:fps=25"
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-qp", "24", "-bf", "0"]
    run_ffmpeg("-loop", "1", "-framerate", "25", "-i", str(picture), "-vf", moves, "-t", "4", *encode, video)
    decoder = Decoder(find_ffmpeg())
    info = probe_video(video, decoder, max_side_px=8192, max_duration_s=60, check=no_check)
    segments = plan_segments(info, sample_fps=12.5, max_frames=64, max_bytes=1 << 30)
    store = FileFrameStore(tmp_path / "frames", 256 << 20)

    def make_room(segment: Segment) -> FileFrameWriter:
        layout = frames_layout(len(segment.frame_indices), width_px=480, height_px=480, planar=True)
        return store.create("still:frames", layout, urgent=False, wait=no_check)

    list(read_segments(video, info.stream, segments, decoder, make_room=make_room, check=no_check))
    session = Counted(load_session(MINI.path(MINI.detector)))
    detector = DetectorBySize.of(session, MINI.detector, side_px=640)
    with store.open("still:frames") as arrays:
        frames = Frames.from_arrays(arrays)
        session.rows = 0
        faces = detect_faces(frames, detector, batch_size=4, link=True, check=no_check)
        pictures = open_pictures(frames)
        assert len(pictures) == 50
        assert session.rows < 30
        for number in range(len(pictures)):
            one = Frames(*(getattr(frames, name)[number : number + 1] for name in FRAME_FIELDS))
            alone = detect_faces(one, detector, batch_size=1, link=False, check=no_check)
            rows = faces.frame == number
            assert np.allclose(faces.boxes[rows], alone.boxes, atol=1e-3)
            assert np.allclose(faces.det_scores[rows], alone.det_scores, atol=1e-6)
