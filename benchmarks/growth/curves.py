"""The measured curves: one thing grows, everything else stays as it is."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.environment import environment
from benchmarks.growth.fill import crowded
from benchmarks.growth.measure import Run, Site, repeated, run_jobs, search_ms
from benchmarks.growth.media import MOST_FACES, make_tiles
from benchmarks.growth.model import Hosts, Workload
from benchmarks.growth.prices import Bills, profile
from benchmarks.pipeline.media import make_photo, make_video
from common.settings import Settings
from workers.decode.segments import most_frames

#: Sampled frames a second of nearly everything, and of the profile that tells source frames from sampled ones.
USUAL_FPS: Final = 5.0
DENSE_FPS: Final = 10.0

#: Another one, that no price was derived from.
_RARE_FPS: Final = 2.5

_BLINKS: Final = 8
_CALLS: Final = 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How far things grow.

    Attributes:
        repeats: runs of each point at most.
        usual_s: seconds of the video where length is not what grows.
    """

    threads: tuple[int, ...] = (1, 2, 4)
    lengths_s: tuple[int, ...] = (10, 30, 60, 240)
    faces: tuple[int, ...] = (0, 2, 8, MOST_FACES)
    subjects: tuple[int, ...] = (10, 10_000, 100_000)
    jobs: tuple[int, ...] = (1, 4, 16, 64)
    repeats: int = 3
    usual_s: int = 30


QUICK: Final = Sizes((1, 2), (10, 30), (0, 8), (10, 10_000), (1, 4), repeats=1, usual_s=10)


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        curve: which it belongs to.
        x: what grew, how far; or, where nothing grew, what was different.
        work: what was processed, with the faces and crops that were counted.
        threads: of the pools, by stage.
        jobs: at once.
        measured: see `measure.repeated`; `search_ms` too where galleries grow.
    """

    curve: str
    x: float | str
    work: Workload
    threads: dict[str, int]
    jobs: int
    measured: dict[str, Any]

    @property
    def hosts(self) -> Hosts:
        """What it ran on."""
        return Hosts(cores=len(os.sched_getaffinity(0)), threads=self.threads)


class Laboratory:
    """Media and stacks for the measurements.

    Args:
        sizes: how far things grow.
        folder: where media is kept between runs.
        ffmpeg: path of ffmpeg.
        start: starts a stack, for as long as it lasts.
        model_id: of the active pack.
        threads: of the decode and detect pools unless they grow.
        say: told what happens.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        folder: Path,
        ffmpeg: str,
        start: Callable[[], AbstractContextManager[Site]],
        model_id: str,
        threads: dict[str, int],
        say: Callable[[str], None],
    ) -> None:
        self._sizes = sizes
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._start = start
        self._model_id = model_id
        self._threads = threads
        self._say = say

    def by_workers(self) -> Iterator[Point]:
        """Threads of the decode and the detect pool; a stack each."""
        video = self._montage(2 * self._sizes.usual_s)
        for number in self._sizes.threads:
            threads = {"decode": number, "detect": number}
            changes = {f"FACEPIPE_{stage.upper()}__THREADS": str(number) for stage in threads}
            with environment(changes), self._start() as where:
                self.warm(where)
                yield self._point("workers", number, where, [video], threads=threads)

    def by_length(self, where: Site) -> Iterator[Point]:
        """One video, longer and longer."""
        for length_s in self._sizes.lengths_s:
            yield self._point("length", length_s, where, [self._montage(length_s)])

    def by_faces(self, where: Site) -> Iterator[Point]:
        """Faces in every frame."""
        for faces in self._sizes.faces:
            yield self._point("faces", faces, where, [self._tiles(faces)])

    def by_gallery(self, where: Site) -> Iterator[Point]:
        """Subjects in the gallery; a photograph is searched too."""
        video, photo = self._montage(self._sizes.usual_s), make_photo(self._folder, ffmpeg_path=self._ffmpeg)
        for subjects in self._sizes.subjects:
            self._say(f"a gallery of {subjects:,} subjects")
            with crowded(where, subjects, self._model_id) as gallery:
                point = self._point("gallery", subjects, where, [video], gallery=gallery)
                took_ms = search_ms(where, photo, gallery, _CALLS)  # by now the gallery is in memory
                work = replace(point.work, references=subjects)
                yield replace(point, work=work, measured=point.measured | {"search_ms": took_ms})

    def by_jobs(self, where: Site) -> Iterator[Point]:
        """Jobs of one short video each, at once."""
        video = self._montage(10)
        for jobs in self._sizes.jobs:
            yield self._point("jobs", jobs, where, [video] * jobs)

    def others(self, where: Site) -> Iterator[Point]:
        """Points that no price was derived from: another resolution, another sampling."""
        small = self._folder / "montage.mp4"
        yield self._point("others", "720p", where, [small], size=(1280, 720))
        rare = self._montage(2 * self._sizes.usual_s)
        yield self._point("others", f"{_RARE_FPS:g} frames/s", where, [rare], sample_fps=_RARE_FPS)

    def bills(self, where: Site) -> tuple[Bills, Workload]:
        """What prices are derived from, and the reference material."""
        self._say("the bills: of a video, of very short ones, of a crowd; the profile, one process a core")
        video, blink = self._montage(30), self._montage(1)
        crowd = self._tiles(MOST_FACES)
        bills = Bills(
            video=_middle(where, [video]),
            blink=_middle(where, [blink]),
            blinks=_middle(where, [blink] * _BLINKS),
            blink_jobs=_BLINKS,
            crowd=_middle(where, [crowd]),
            sparse=profile(video, USUAL_FPS),
            dense=profile(video, DENSE_FPS),
            faceless=profile(self._tiles(0), USUAL_FPS),
            crowded=profile(crowd, USUAL_FPS),
        )
        return bills, work_of(asdict(bills.video), _cut(Workload()))

    def prepare(self) -> None:
        """Make all media first, so that nothing else is measured."""
        self._say("media (kept for the next run)")
        for length_s in {1, 10, 30, self._sizes.usual_s, 2 * self._sizes.usual_s, *self._sizes.lengths_s}:
            self._montage(length_s)
        for faces in {0, MOST_FACES, *self._sizes.faces}:
            self._tiles(faces)

    def _point(
        self,
        curve: str,
        x: float | str,
        where: Site,
        media: list[Path],
        *,
        threads: dict[str, int] | None = None,
        sample_fps: float = USUAL_FPS,
        size: tuple[int, int] = (1920, 1080),
        **asked: Any,
    ) -> Point:
        self._say(f"{curve}: {x if isinstance(x, str) else format(x, ',g')}")
        measured = repeated(where, media, self._sizes.repeats, sample_fps=sample_fps, **asked)
        work = work_of(measured, _cut(Workload(width_px=size[0], height_px=size[1], sample_fps=sample_fps)))
        return Point(curve, x, work, threads or self._threads, len(media), measured)

    def warm(self, where: Site) -> None:
        """Networks are loaded and memory is taken by the first frames."""
        run_jobs(where, [self._montage(10)] * 2)

    def _montage(self, seconds: int) -> Path:
        return make_video(self._folder, seconds, ffmpeg_path=self._ffmpeg)

    def _tiles(self, faces: int) -> Path:
        return make_tiles(self._folder, faces, self._sizes.usual_s, ffmpeg_path=self._ffmpeg)


def work_of(measured: dict[str, Any], work: Workload) -> Workload:
    """The same with the faces and crops that were counted."""
    frames = measured["frames"]
    return replace(work, faces=measured["faces"] / frames, crops=measured["crops"] / frames)


def _cut(work: Workload) -> Workload:
    """The same with the segments and decoder runs that the settings make of it."""
    settings = Settings().decode
    frame_bytes = work.width_px * work.height_px * 3 // 2
    frames = most_frames(frame_bytes, max_frames=settings.segment_frames, max_bytes=settings.segment_bytes)
    return replace(work, segment_frames=frames, run_frames=frames * settings.span_segments)


def _middle(where: Site, media: list[Path]) -> Run:
    """The second fastest of three: prices must not hang on one run."""
    return sorted((run_jobs(where, media) for _ in range(3)), key=lambda run: run.cpu_s)[1]
