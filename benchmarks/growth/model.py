"""How many frames a second some hosts process, and what limits them: sums and quotients of measured prices.

A stage's work is a price times an amount. What a resource has to offer is divided by what a frame takes of it, and the
scarcest resource decides. No queueing theory: the pools hand on work as fast as it comes, so waiting costs latency, not
throughput. A job takes no less than its critical path, however many cores there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: Where work happens, in the order of a frame's walk; `around` is API, queue, database and the pools' own glue.
STAGES: Final = ("decode", "detect", "embed", "around")


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost, in ms of one core while all cores are busy.

    Attributes:
        source_megapixel: decoding one source frame, each megapixel of it.
        taken_megapixel: converting and handing over one sampled frame, each megapixel of it.
        input_megapixel: the detection network, each megapixel of its input.
        detect_frame: the rest of detection for a frame without faces.
        detect_face: the rest of detection for each face.
        crop: the embedding network, each crop.
        align_crop: the rest of embedding, each crop.
        around_frame: everything around the stages, each frame.
        around_face: the same, each face.
        around_job: everything around the stages, each job: probing, planning, the finish.
        search_million: comparing the faces of a job with a million references.
        wait_s: seconds that a job of one short segment waits while the cores are idle.
    """

    source_megapixel: float
    taken_megapixel: float
    input_megapixel: float
    detect_frame: float
    detect_face: float
    crop: float
    align_crop: float
    around_frame: float
    around_face: float
    around_job: float
    search_million: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class Workload:
    """What is processed.

    Attributes:
        width_px, height_px: of the video.
        source_fps, sample_fps: frames a second in the video, and looked at.
        input_px: pixels of the network's input for frames of this size.
        faces: in a sampled frame.
        crops: embedded for each sampled frame; a tracklet has few, however long it is.
        references: in the gallery.
        segment_frames: sampled frames in a segment.
        run_frames: sampled frames that one decoder run covers at most, one after the other.
        density: cost of decoding this material over that of the material that was priced, at the same size.
    """

    width_px: int = 1920
    height_px: int = 1080
    source_fps: float = 25.0
    sample_fps: float = 5.0
    input_px: int = 640 * 384
    faces: float = 2.0
    crops: float = 0.2
    references: int = 0
    segment_frames: int = 48
    run_frames: int = 384
    density: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.sample_fps <= self.source_fps:
            raise ValueError(f"sample_fps must be above 0 and at most source_fps ({self.source_fps:g})")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator, as `python -m benchmarks.growth.networks cuda:0` measures it.

    Attributes:
        frames_s: frames that the detection network runs through in a second.
        crops_s: the same of the embedding network.
    """

    frames_s: float
    crops_s: float


@dataclass(frozen=True, slots=True)
class Hosts:
    """Machines that are alike.

    Attributes:
        count: how many.
        cores: of each; of one that something else takes a tenth of, 0.9.
        threads: of each pool on each host, by stage; a stage that is absent has as many as are of use.
        gpus: of each.
        gpu: what one of them does; without it the networks run on cores.
    """

    count: int = 1
    cores: float = 2
    threads: Mapping[str, int] = field(default_factory=dict)
    gpus: int = 0
    gpu: Gpu | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """Answer of the model.

    Attributes:
        frames_s: sampled frames a second.
        limit: what is used up first: "cores", "gpus", "decode threads", "detect threads" ….
        core_ms: of a frame, by stage.
        video_hours_per_hour: hours of video processed in an hour.
    """

    frames_s: float
    limit: str
    core_ms: Mapping[str, float]
    video_hours_per_hour: float

    @property
    def dearest(self) -> str:
        """The stage that takes most of a core's time."""
        return max(self.core_ms, key=lambda stage: self.core_ms[stage])


def core_ms(work: Workload, prices: Prices, *, with_gpu: bool = False) -> dict[str, float]:
    """Ms of a core that one sampled frame takes, by stage.

    Args:
        with_gpu: whether the networks run elsewhere.
    """
    megapixels = work.width_px * work.height_px / 1e6
    source_frames = work.source_fps / work.sample_fps
    on_core = 0.0 if with_gpu else 1.0
    return {
        "decode": work.density * megapixels * (prices.source_megapixel * source_frames + prices.taken_megapixel),
        "detect": on_core * prices.input_megapixel * work.input_px / 1e6
        + prices.detect_frame
        + prices.detect_face * work.faces,
        "embed": work.crops * (on_core * prices.crop + prices.align_crop),
        "around": prices.around_frame + prices.around_face * work.faces,
    }


def capacity(work: Workload, prices: Prices, hosts: Hosts) -> Capacity:
    """Sampled frames a second when there is always more to do.

    Raises:
        ValueError: no hosts or no cores.
    """
    if hosts.count < 1 or hosts.cores <= 0:
        raise ValueError("there must be at least one host with a core")
    gpu = hosts.gpu if hosts.gpus else None
    costs = core_ms(work, prices, with_gpu=gpu is not None)
    offers = {"cores": hosts.count * hosts.cores * 1000 / sum(costs.values())}
    for stage, threads in hosts.threads.items():
        offers[f"{stage} threads"] = hosts.count * threads * 1000 / costs[stage]
    if gpu is not None:
        offers["gpus"] = hosts.count * hosts.gpus / (1 / gpu.frames_s + work.crops / gpu.crops_s)
    limit = min(offers, key=lambda name: offers[name])
    return Capacity(offers[limit], limit, costs, offers[limit] / work.sample_fps)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long some jobs take that come at once.

    Attributes:
        seconds: first byte of the first upload to the last final state.
        limit: see `Capacity`, or "decoder run" where the critical path is longer than the work that is shared.
    """

    seconds: float
    limit: str


def estimate(work: Workload, prices: Prices, hosts: Hosts, *, frames: int, jobs: int = 1) -> Estimate:
    """See `Estimate`.

    Args:
        frames: sampled frames of all jobs together.
    """
    able = capacity(work, prices, hosts)
    cores = hosts.count * hosts.cores
    own_ms = prices.around_job + prices.search_million * work.references / 1e6
    # A decoder run is one process, and its last segment goes on through the stages when it has ended: no number of
    # cores makes that shorter.
    each = frames / jobs
    decode_ms, all_ms = able.core_ms["decode"], sum(able.core_ms.values())
    chain_ms = min(work.run_frames, each) * decode_ms + min(work.segment_frames, each) * (all_ms - decode_ms)
    shared_s = frames / able.frames_s + (jobs - 1) * own_ms / cores / 1000
    limit = able.limit if shared_s * 1000 >= chain_ms else "decoder run"
    return Estimate(prices.wait_s + own_ms / 1000 + max(shared_s, chain_ms / 1000), limit)


def hosts_needed(work: Workload, prices: Prices, host: Hosts, *, video_hours: float, within_hours: float) -> int:
    """Hosts like `host` for so many hours of video in so many hours."""
    one = capacity(work, prices, Hosts(1, host.cores, host.threads, host.gpus, host.gpu))
    return max(1, -int(-video_hours // (one.video_hours_per_hour * within_hours)))
