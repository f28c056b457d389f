"""Every setting, once. Read only by front doors: `api/wsgi.py`, `workers/app.py`, `workers/housekeeping`, `deploy/`.

The environment names are `FACEPIPE_<FIELD>` and, for a group, `FACEPIPE_<GROUP>__<FIELD>`.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

#: Threads of a decode process for what takes a moment, so that a photo never waits for a decoder run to end.
LIGHT_THREADS = 2

#: Of a detector on a GPU; larger runs gain nothing more there, and calls wait for them.
MOST_FRAMES_A_RUN = 64


def _split(separator: str) -> BeforeValidator:
    def split(value: Any) -> Any:
        return tuple(part for part in value.split(separator) if part) if isinstance(value, str) else value

    return BeforeValidator(split)


def _pairs(text: str) -> frozenset[str]:
    return frozenset(pair.strip() for pair in text.split(",") if pair.strip())


class Group(BaseModel):
    """A group of settings of one concern."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiSettings(Group):
    """Limits of the HTTP API."""

    max_media_bytes: int = Field(default=8 << 30, ge=1, description="Largest upload or download for a job.")
    max_image_bytes: int = Field(default=32 << 20, ge=1, description="Largest image in an interactive call.")
    max_images: int = Field(default=50, ge=1, le=1000, description="Images in one enrolment request.")
    max_open_jobs: int = Field(default=10_000, ge=1, description="Jobs not yet final before 429 is answered.")
    max_open_jobs_per_key: int = Field(
        default=2_000, ge=1, description="Jobs of one API key not yet final before 429 is answered."
    )
    call_timeout_s: float = Field(
        default=30.0, gt=0, description="How long an interactive call may wait for the pools."
    )
    max_event_streams: int = Field(default=16, ge=1, description="Server-Sent Events connections per API process.")
    threads: int = Field(default=32, ge=2, description="Request threads per API process.")
    workers: int = Field(default=1, ge=1, description="API processes.")


class WebhookSettings(Group):
    """Pushing the final document of a job to its `webhook_url`."""

    secret: str = Field(
        default="",
        description="Signs what is posted; unset: one is made once, and `facepipe webhooks secret` shows it.",
    )
    allow: str = Field(
        default="", description="host:port pairs, by commas, that webhook_url may reach although they are private."
    )
    timeout_s: float = Field(default=10.0, gt=0, le=300, description="How long a receiver may take to answer.")
    threads: int = Field(
        default=4, ge=1, le=64, description="Deliveries side by side; half of them to one URL at most."
    )
    give_up_s: float = Field(default=86_400.0, gt=0, description="Attempts end after so long; a replay begins again.")

    @property
    def allowed(self) -> frozenset[str]:
        """`allow`, split."""
        return _pairs(self.allow)


class DecodeSettings(Group):
    """Media limits and the shape of segments."""

    threads: int = Field(default=2, ge=1, description="Media decoded side by side in one process.")
    sample_fps: float = Field(default=5.0, gt=0, le=120, description="Frames taken per second when a job does not say.")
    max_image_px: int = Field(default=100_000_000, ge=1, description="Largest picture, width times height.")
    max_video_side_px: int = Field(default=8192, ge=1, description="Longest side of a video frame.")
    max_duration_s: float = Field(default=86_400.0, gt=0, description="Longest video.")
    segment_frames: int = Field(default=64, ge=1, le=256, description="Sampled frames in one segment at most.")
    segment_bytes: int = Field(default=144 << 20, ge=1 << 20, description="Decoded bytes of one segment at most.")
    span_segments: int = Field(default=8, ge=1, le=64, description="Segments that one decoder run covers at most.")
    ffmpeg_threads: int = Field(default=1, ge=1, description="Decoder threads of one ffmpeg process.")
    hwaccel: Literal["none", "cuda", "vaapi", "auto"] = Field(
        default="none",
        description="Hardware that decodes: cuda (NVDEC) or vaapi, without whose device the pool does not start; auto:"
        " the first of them that there is, or none. A video whose codec it does not take the processor decodes.",
    )
    stall_timeout_s: float = Field(
        default=60.0, gt=0, description="ffmpeg is killed when it gives nothing for so long."
    )
    fetch_timeout_s: float = Field(default=600.0, gt=0, description="Longest download of a media_url.")
    fetch_allow: str = Field(
        default="", description="host:port pairs, by commas, that media_url may reach although they are private."
    )

    @property
    def fetch_allowed(self) -> frozenset[str]:
        """`fetch_allow`, split."""
        return _pairs(self.fetch_allow)


class InferenceSettings(Group):
    """How a pool runs its networks."""

    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|(cuda|tensorrt):\d{1,3})$",
        description="Where networks run: cpu, cuda:0, tensorrt:0.",
    )
    intra_op_threads: int = Field(default=1, ge=1, description="Threads inside one run of the network.")
    runs: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Runs of one network side by side, in each process; what waits is joined into the next run. 0 means"
        " 1 on a GPU and, on a CPU, as many as there are threads.",
    )
    max_wait_ms: float = Field(
        default=2.0,
        ge=0,
        le=1000,
        description="How long a free network waits for threads that it has just served to bring more. Bulk work only,"
        " and never where every thread runs at once, as on a CPU.",
    )
    memory_limit_bytes: int = Field(
        default=4 << 30,
        ge=0,
        description="Most memory of weights and runs: of all networks of a process on a CPU, of each on a GPU. 0 means"
        " no limit.",
    )
    precision: Literal["float32", "float16"] = Field(
        default="float32",
        description="Numbers that TensorRT may compute in; float16 is faster and a little less exact, which `make"
        " accuracy` measures. With cpu and cuda only float32: there a network computes in the numbers of its file, so"
        " float16 takes a pack of such files.",
    )

    @property
    def runs_side_by_side(self) -> int | None:
        """`runs`, chosen by the device where it is left open; None: no thread waits for another."""
        return self.runs or (None if self.device == "cpu" else 1)


class DetectSettings(InferenceSettings):
    """The detector pool."""

    threads: int = Field(default=2, ge=1, description="Segments detected side by side in one process.")
    batch_size: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Frames in one run of the network; 0 means 1 on a CPU and, on a GPU, the largest power of two up to"
        " 64 whose run fits into memory_limit_bytes, found out at the start.",
    )
    input_side_px: int = Field(
        default=640, ge=64, le=2048, multiple_of=32, description="Side of the square network input."
    )

    @property
    def frames_a_run(self) -> int:
        """`batch_size`, or the most of it where it is left open: on a CPU larger batches only cost cache."""
        return self.batch_size or (1 if self.device == "cpu" else MOST_FRAMES_A_RUN)

    @property
    def runs_by_memory(self) -> bool:
        """Whether `frames_a_run` is only the most, and the memory of the device decides."""
        return self.batch_size == 0 and self.device != "cpu"


class EmbedSettings(InferenceSettings):
    """The embedder pool and the enrolment gate."""

    threads: int = Field(default=2, ge=1, description="Segments embedded side by side in one process.")
    batch_size: int = Field(default=16, ge=1, le=1024, description="Crops in one run of the network.")
    other_models: int = Field(
        default=2, ge=1, le=16, description="Embedders of other packs kept loaded beside that of the active one."
    )
    crops_per_tracklet: int = Field(default=3, ge=1, le=16, description="Best crops embedded per tracklet and segment.")
    min_enrol_side_px: float = Field(default=40.0, ge=1, description="Shorter side of a face box that may be enrolled.")
    min_enrol_sharpness: float = Field(
        default=0.15, ge=0, le=1, description="Sharpness of a crop that may be enrolled."
    )
    min_enrol_frontality: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Frontality of a face that may be enrolled: 1 from the front, 0 in profile, 0.1 half way.",
    )


class MatchSettings(Group):
    """Deciding who a track is."""

    threads: int = Field(default=2, ge=1, description="Segments stored side by side in one process.")
    min_similarity: float | None = Field(
        default=None, ge=-1, le=1, description="Lower bound, inclusive; unset means the model's calibrated value."
    )
    min_margin: float = Field(default=0.05, ge=0, le=2, description="Lead of the best subject over the next one.")
    max_gap_ms: int = Field(default=2000, ge=0, description="Absences up to this long do not split an appearance.")
    index_bytes: int = Field(
        default=1 << 30,
        ge=0,
        description="Memory of each match process for copies of galleries, about 550 bytes a sample; a gallery without"
        " room is searched in the database, with the same answers. 0: always there.",
    )


class PictureSettings(InferenceSettings):
    """What the two pools have in common that look at whole pictures."""

    threads: int = Field(default=1, ge=1, description="Threads of one process beside those for calls.")
    pack: str = Field(
        default="",
        description="Model pack of this pool; unset: the first installed one by name that has such networks. Without"
        " one the pool does not run.",
    )


class CaptionSettings(PictureSettings):
    """The pool that captions pictures."""

    questions: Path | None = Field(
        default=None, description="JSON file of questions about captions, for smartav_api (003); unset: two examples."
    )


class SegmentSettings(PictureSettings):
    """The pool that finds objects and their outlines."""


class FrameSettings(Group):
    """Where decoded frames wait between the pools."""

    backend: Literal["files", "redis"] = Field(
        default="files", description="files: shared memory of one host; redis: several hosts."
    )
    redis_url: str = Field(default="", description="Redis of the redis backend; empty means FACEPIPE_REDIS_URL.")
    directory: Path = Field(default=Path("/dev/shm/facepipe"), description="Folder of the files backend.")  # noqa: S108
    capacity_bytes: int = Field(default=768 << 20, ge=16 << 20, description="Decode waits when this is full.")


class LeaseSettings(Group):
    """How fast a death is noticed."""

    heartbeat_s: float = Field(default=1.0, gt=0, description="How often a worker says that it lives.")
    lease_s: float = Field(default=5.0, gt=0, description="A running step without heartbeat for so long is dead.")
    handover_s: float = Field(default=120.0, gt=0, description="A step waiting in a queue for so long is sent again.")
    step_timeout_s: float = Field(default=900.0, gt=0, description="A stage may work on one step for so long.")
    max_deaths: int = Field(default=3, ge=1, description="Deaths of its worker before a step is quarantined.")
    max_attempts: int = Field(default=5, ge=1, description="Transient failures before a step fails.")


class Settings(BaseSettings):
    """All settings of the server."""

    model_config = SettingsConfigDict(
        env_prefix="FACEPIPE_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    home: Path = Field(default=Path(".facepipe"), description="Directory of all data of the one-machine stack.")
    host: str = Field(default="127.0.0.1", description="Address the API listens on; beyond loopback a key is required.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port of the API.")
    flower_port: int = Field(default=5555, ge=1, le=65535, description="Port of Flower.")
    database_url: str = Field(default="", description="PostgreSQL with pgvector; empty means the embedded one.")
    redis_url: str = Field(default="", description="Redis; empty means the embedded one.")
    model_pack: str = Field(default="mini", description="Name of the active model pack.")
    models_path: Annotated[tuple[Path, ...], NoDecode, _split(os.pathsep)] = Field(
        default=(), description="More folders to look for packs in, by colons as in PATH."
    )
    ffmpeg: str = Field(default="", description="Path of ffmpeg; empty means PATH, then the imageio-ffmpeg wheel.")
    call_threads: int = Field(default=1, ge=1, description="Threads of each pool process kept for interactive calls.")
    compat: Annotated[tuple[str, ...], NoDecode, _split(",")] = Field(
        default=(),
        description="Older projects whose routes are served on their original ports, by commas, such as 000,002; all:"
        " every one.",
    )
    compat_port_offset: int = Field(
        default=0, ge=0, le=50_000, description="Added to every original port, where one is taken or in tests."
    )
    compat_ports: Annotated[tuple[str, ...], NoDecode, _split(",")] = Field(
        default=(),
        description="Ports of a project in place of its original ones, by commas, such as 001=8080; the offset is not"
        " added to them.",
    )
    compat_certificate: Path | None = Field(
        default=None, description="Certificate chain (PEM); set: the routes of older projects are served by https."
    )
    compat_certificate_key: Path | None = Field(default=None, description="Its private key (PEM).")
    compat_open: bool = Field(
        default=False,
        description="Allows the routes of older projects beyond loopback: they know no API keys, so whoever reaches the"
        " ports may use them.",
    )
    compat_max_body_bytes: int = Field(
        default=64 << 20, ge=1 << 20, description="Largest JSON request of the routes of older projects."
    )
    compat_max_frames_bytes: int = Field(
        default=128 << 20,
        ge=1 << 20,
        description="Pictures in one answer of video2frames (000), before base64 adds a third.",
    )
    compat_max_peers: int = Field(
        default=4, ge=1, le=64, description="Live streams (001) at the same time, before 429 is answered."
    )
    compat_peer_idle_s: float = Field(
        default=30.0, gt=0, description="A live stream (001) that sends no frame for so long is closed."
    )
    compat_timeout_s: float = Field(
        default=300.0, gt=0, description="How long video2frames (000) may take to decode one video."
    )
    compat_004_db: Path | None = Field(
        default=None,
        description="Folder of files <name>_<nr>.jpg that the face service (004) takes up when it starts.",
    )
    compat_register_unknown: bool = Field(
        default=True,
        description="Whether the face routes of 002 and 003 enrol faces of nobody known as unknown_person_1 and so on;"
        " else they are left out of the answers.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")

    api: ApiSettings = Field(default=ApiSettings(), description="HTTP API.")
    webhook: WebhookSettings = Field(default=WebhookSettings(), description="Webhooks.")
    decode: DecodeSettings = Field(default=DecodeSettings(), description="Decode pool.")
    detect: DetectSettings = Field(default=DetectSettings(), description="Detect pool.")
    embed: EmbedSettings = Field(default=EmbedSettings(), description="Embed pool.")
    match: MatchSettings = Field(default=MatchSettings(), description="Match pool.")
    caption: CaptionSettings = Field(default=CaptionSettings(), description="Caption pool.")
    segment: SegmentSettings = Field(default=SegmentSettings(), description="Segment pool.")
    frames: FrameSettings = Field(default=FrameSettings(), description="Frame store.")
    lease: LeaseSettings = Field(default=LeaseSettings(), description="Leases and the reaper.")

    @property
    def blobs_directory(self) -> Path:
        """Where uploads, crops and thumbnails lie."""
        return self.home / "blobs"

    @property
    def engines_directory(self) -> Path:
        """Where engines that TensorRT has built wait for the next start."""
        return self.home / "engines"

    @property
    def packs_path(self) -> tuple[Path, ...]:
        """Folders searched for model packs, first hit wins: the caller's, the installed ones, the checkout's."""
        return (*self.models_path, self.home / "models", Path(__file__).parent.parent / "models")

    def stage_threads(self, stage: str) -> int:
        """Concurrency of one process of the pool `stage`."""
        threads: int = getattr(self, stage).threads
        return threads

    def stage_concurrency(self, stage: str) -> int:
        """Celery's concurrency of one process: decode has threads beside its decoder runs, for plans and pictures."""
        return self.stage_threads(stage) + (LIGHT_THREADS if stage == "decode" else 0)

    def stage_device(self, stage: str) -> str:
        """Device of the pool `stage`; decode and match have none."""
        device: str = getattr(getattr(self, stage), "device", "cpu")
        return device


def worker_host() -> str:
    """Name of this host in worker names and lease rows."""
    return os.environ.get("FACEPIPE_HOSTNAME") or os.uname().nodename
