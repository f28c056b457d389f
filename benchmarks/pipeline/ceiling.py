"""The ceiling: the pipeline's own decode, detect and embed kernels with no queue, store or database around them.

One process a core, each with a share of the video's segments.
`python -m benchmarks.ceiling VIDEO SAMPLE_FPS` prints one JSON line.
"""

import json
import multiprocessing
import os
import sys
import time
from typing import Any

import numpy as np

from common.ffmpeg import find_ffmpeg
from common.frames.layout import map_arrays, plan_layout
from common.inference.ort import load_session
from common.packs import find_pack
from common.records import Segment
from common.settings import Settings
from common.types import Frames
from workers.decode.command import Decoder
from workers.decode.probe import probe_video
from workers.decode.segments import frames_layout, plan_segments
from workers.decode.stream import VideoStream
from workers.decode.video import read_segments
from workers.detect.detector import Detector
from workers.detect.process import detect_faces
from workers.embed.embedder import Embedder
from workers.embed.process import embed_faces


class PrivateFrames:
    """Room of this process alone, used again for every segment."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.rows = 0

    def reserve(self, segment: Segment, stream: VideoStream) -> "PrivateFrames":
        """Room for one segment."""
        layout = frames_layout(len(segment.frame_indices), width_px=stream.width_px, height_px=stream.height_px)
        header, size = plan_layout(layout)
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        self.arrays = map_arrays(self._buffer, header)
        self.rows = len(segment.frame_indices)
        return self

    def commit(self, rows: int | None = None) -> None:
        """The frames are complete."""
        self.rows = self.rows if rows is None else rows

    def discard(self) -> None:
        """Nothing to give back."""


def run_share(
    video: str, stream: VideoStream, segments: list[Segment], begin: Any, results: "multiprocessing.Queue[Any]"
) -> None:
    """One process: its segments through the three kernels."""
    settings = Settings()
    pack = find_pack(settings.model_pack, settings.packs_path)
    detector = Detector(load_session(pack.path(pack.detector)), pack.detector)
    embedder = Embedder(load_session(pack.path(pack.embedder)), pack.embedder)
    decoder = Decoder(find_ffmpeg(settings.ffmpeg))
    room = PrivateFrames()
    frames = faces = 0
    begin.wait()
    for _ in read_segments(
        video, stream, segments, decoder, make_room=lambda segment: room.reserve(segment, stream), check=lambda: None
    ):
        stack = Frames(**{name: array[: room.rows] for name, array in room.arrays.items()})
        found = detect_faces(
            stack,
            detector,
            batch_size=settings.detect.frames_a_run,
            link=True,
            check=lambda: None,
            sure_det_score=pack.detector.tracklet_det_score,
        )
        embed_faces(
            found,
            embedder,
            crops_per_tracklet=settings.embed.crops_per_tracklet,
            batch_size=settings.embed.batch_size,
            every_face=False,
            check=lambda: None,
        )
        frames += room.rows
        faces += len(found.frame)
    results.put((frames, faces))


def main() -> None:
    """Run the kernels once over a video."""
    video, sample_fps = sys.argv[1], float(sys.argv[2])
    settings = Settings()
    decoder = Decoder(find_ffmpeg(settings.ffmpeg))
    info = probe_video(video, decoder, max_side_px=8192, max_duration_s=1e6, check=lambda: None)
    segments = plan_segments(
        info,
        sample_fps=sample_fps,
        max_frames=settings.decode.segment_frames,
        max_bytes=settings.decode.segment_bytes,
    )
    cores = len(os.sched_getaffinity(0))
    size = -(-len(segments) // cores)
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[Any] = context.Queue()
    begin = context.Barrier(cores + 1)
    shares = [segments[core * size : (core + 1) * size] for core in range(cores)]
    processes = [
        context.Process(target=run_share, args=(video, info.stream, share, begin, results)) for share in shares
    ]
    for process in processes:
        process.start()
    begin.wait()
    started = time.perf_counter()
    counts = [results.get(timeout=600) for _ in processes]
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    frames, faces = (sum(column) for column in zip(*counts, strict=True))
    print(json.dumps({"frames": frames, "faces": faces, "seconds": round(seconds, 3)}))


if __name__ == "__main__":
    main()
