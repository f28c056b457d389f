"""Where a frame's time goes, kernel by kernel, in one process on one core. `… profile SAMPLE_FPS VIDEO` prints JSON."""

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks.pipeline import ceiling
from common.inference.ort import OrtSession
from common.settings import Settings
from workers.decode import room
from workers.detect import detector, process
from workers.detect.pictures import PlanarPictures, RgbPictures

#: What is timed: where it is looked up, and what it is for. Time inside another of them counts there alone.
STEPS: tuple[tuple[str, Any, str], ...] = (
    ("decode: read ffmpeg's frames into the frame store", room.SegmentRoom, "take"),
    ("detect: scale frames to the input", PlanarPictures, "scaled"),
    ("detect: scale frames to the input", RgbPictures, "scaled"),
    ("detect: fill the input", detector.InputBatch, "fill"),
    ("detect: read the network's answer", detector.Detector, "_finish"),
    ("detect: find cuts", process, "find_cuts"),
    ("detect: find cuts", process, "signatures"),
    ("detect: link faces to tracklets", process, "link_faces"),
    ("detect: cut patches", process, "cut_patches"),
    ("detect: everything else", ceiling, "detect_faces"),
    ("embed: align, measure, choose, fuse", ceiling, "embed_faces"),
)


_CROP_PX = 112


class Clock:
    """Processor time by step; time of a step inside another is taken from the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[list[Any]] = []

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            started, frame = time.process_time(), [name, 0.0]
            self._open.append(frame)
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - started
                self._open.pop()
                self.seconds[name] += took - frame[1]
                if self._open:
                    self._open[-1][1] += took

        return timed


def main() -> None:
    """Run the kernels over a video, timed."""
    sample_fps, video = sys.argv[1:]
    settings = Settings()
    shares = ceiling.plan_shares([video], float(sample_fps), settings)
    kernels = ceiling.Kernels(settings)
    kernels.run(shares[0])  # memory that is filled for the first time is no kernel's price
    clock = Clock()
    run = OrtSession.run

    def run_timed(session: OrtSession, feeds: Any) -> Any:
        (array,) = feeds.values()
        stage = "embed" if array.shape[-1] == _CROP_PX else "detect"
        return clock.wrap(f"{stage}: the network", run)(session, feeds)

    OrtSession.run = run_timed  # type: ignore[method-assign]
    for name, owner, attribute in STEPS:
        setattr(owner, attribute, clock.wrap(name, getattr(owner, attribute)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    frames = sum(kernels.run(share)[0] for share in shares)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ffmpeg_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    table = {"decode: ffmpeg": ffmpeg_s, **clock.seconds}
    print(
        json.dumps({"frames": frames, "ms_a_frame": {name: round(1000 * s / frames, 3) for name, s in table.items()}})
    )


if __name__ == "__main__":
    main()
