"""The ceiling: the pipeline's own decode, detect and embed kernels with no queue, store or database around them.

One process a core; each takes the next run of segments when it has done one. An ffmpeg runs ahead of each process.
`python -m benchmarks.pipeline.ceiling SAMPLE_FPS VIDEO…` prints one JSON line.
"""

import json
import multiprocessing
import os
import resource
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
from common.store.schedule import head_run
from common.types import Frames
from workers.decode.command import Decoder
from workers.decode.probe import probe_video
from workers.decode.segments import frames_layout, plan_segments
from workers.decode.stream import VideoStream
from workers.decode.video import read_segments
from workers.detect.by_size import DetectorBySize
from workers.detect.process import detect_faces
from workers.embed.embedder import Embedder
from workers.embed.process import embed_faces

Share = tuple[str, VideoStream, list[Segment]]


class PrivateFrames:
    """Room of this process alone, used again for every segment."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.rows = 0

    def reserve(self, segment: Segment, stream: VideoStream) -> "PrivateFrames":
        """Room for one segment."""
        layout = frames_layout(
            len(segment.frame_indices),
            width_px=stream.width_px,
            height_px=stream.height_px,
            planar=stream.colour is not None,
        )
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


class Kernels:
    """Decode, detect and embed as the pools do, one after the other."""

    def __init__(self, settings: Settings) -> None:
        pack = find_pack(settings.model_pack, settings.packs_path)
        self._settings = settings
        self._sure_det_score = pack.detector.tracklet_det_score
        self._detector = DetectorBySize.of(
            load_session(pack.path(pack.detector)), pack.detector, side_px=settings.detect.input_side_px
        )
        self._embedder = Embedder(load_session(pack.path(pack.embedder)), pack.embedder)
        self._decoder = Decoder(find_ffmpeg(settings.ffmpeg))
        self._room = PrivateFrames()

    def run(self, share: Share) -> tuple[int, int]:
        """Frames and faces of some segments of one video."""
        video, stream, segments = share
        room, settings = self._room, self._settings
        frames = faces = 0
        decoded = read_segments(
            video,
            stream,
            segments,
            self._decoder,
            make_room=lambda segment: room.reserve(segment, stream),
            check=_go_on,
        )
        for _ in decoded:
            found = detect_faces(
                Frames(**{name: array[: room.rows] for name, array in room.arrays.items()}),
                self._detector,
                batch_size=settings.detect.frames_a_run,
                link=True,
                check=_go_on,
                sure_det_score=self._sure_det_score,
            )
            embed_faces(
                found,
                self._embedder,
                crops_per_tracklet=settings.embed.crops_per_tracklet,
                batch_size=settings.embed.batch_size,
                every_face=False,
                check=_go_on,
            )
            frames += room.rows
            faces += len(found.frame)
        return frames, faces


def plan_shares(videos: list[str], sample_fps: float, settings: Settings) -> list[Share]:
    """Decoder runs as the scheduler would send them."""
    decoder = Decoder(find_ffmpeg(settings.ffmpeg))
    shares: list[Share] = []
    for video in videos:
        info = probe_video(video, decoder, max_side_px=8192, max_duration_s=1e6, check=_go_on)
        limits = {"max_frames": settings.decode.segment_frames, "max_bytes": settings.decode.segment_bytes}
        segments = plan_segments(info, sample_fps=sample_fps, **limits)
        pending = list(range(len(segments)))
        while pending:
            run = head_run(pending, len(segments), settings.decode.span_segments)
            shares.append((video, info.stream, [segments[ordinal] for ordinal in run]))
            pending = pending[len(run) :]
    return shares


def _work(shares: list[Share], taken: Any, begin: Any, results: "multiprocessing.Queue[Any]") -> None:
    """One process: run after run, until none is left."""
    kernels = Kernels(Settings())
    begin.wait()
    before_s = _cpu_s()
    frames = faces = 0
    while True:
        with taken.get_lock():
            number, taken.value = taken.value, taken.value + 1
        if number >= len(shares):
            break
        more_frames, more_faces = kernels.run(shares[number])
        frames, faces = frames + more_frames, faces + more_faces
    results.put((frames, faces, _cpu_s() - before_s))


def _cpu_s() -> float:
    """Of this process and its ffmpegs so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _go_on() -> None:
    """Nothing stops a benchmark."""


def main() -> None:
    """Run the kernels once over some videos."""
    sample_fps, *videos = sys.argv[1:]
    shares = plan_shares(videos, float(sample_fps), Settings())
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[Any] = context.Queue()
    begin = context.Barrier(cores + 1)
    taken = context.Value("i", 0)
    processes = [context.Process(target=_work, args=(shares, taken, begin, results)) for _ in range(cores)]
    for process in processes:
        process.start()
    begin.wait()
    started = time.perf_counter()
    counts = [results.get(timeout=3600) for _ in processes]
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    frames, faces, cpu_s = (sum(column) for column in zip(*counts, strict=True))
    print(json.dumps({"frames": frames, "faces": faces, "seconds": round(seconds, 3), "cpu_s": round(cpu_s, 3)}))


if __name__ == "__main__":
    main()
