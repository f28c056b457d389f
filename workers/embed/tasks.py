"""Glue of the embed pool: faces → aligned crops → one embedding a tracklet."""

from functools import cache, partial
from threading import Lock

from common.contracts import TASK_EMBED, TASK_EMBED_CHUNK
from common.errors import ConfigurationError
from common.inference.detectors import gives_landmarks
from common.inference.engine import Engine, Lanes
from common.inference.ort import load_session
from common.models import Models
from common.packs import AttributeModel, LandmarkModel, Pack, verify
from common.stage.answers import describe_faces
from common.stage.bulk import make_chunk_task
from common.stage.meter import MeteredSession
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.types import Faces
from workers.embed.align import CROP_SIDE_PX
from workers.embed.box_network import BoxNetwork
from workers.embed.embedder import Embedder
from workers.embed.heads import WIDTHS, Heads
from workers.embed.process import embed_faces
from workers.embed.reembed import Reembedder
from workers.embed.shelf import EmbedderShelf


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler; loads the embedder."""
    settings = runtime.settings.embed
    models = Models(runtime.settings.model_pack, runtime.settings.packs_path)
    pack = models.active
    engine = Engine(
        settings, count=partial(MeteredSession, meter=runtime.meter), cache=runtime.settings.engines_directory
    )
    shelf = EmbedderShelf(
        models, partial(_load_embedder, engine, batch_size=settings.batch_size), others=settings.other_models
    )
    heads = _make_heads(engine, pack, batch_size=settings.batch_size)
    _check_landmarks(pack)
    runtime.model_ids.append(pack.model_id)

    def embed(attempt: Attempt) -> None:
        options = attempt.message.options
        with attempt.take("faces") as arrays:
            embedder = shelf.get(options.model_id, urgent=attempt.is_call)
            tracklets = embed_faces(
                Faces.from_arrays(arrays),
                embedder,
                crops_per_tracklet=settings.crops_per_tracklet,
                batch_size=settings.batch_size,
                every_face=attempt.is_call,
                check=attempt.check,
                heads=heads.lane(urgent=attempt.is_call),
                attributes=options.attributes,
            )
        if attempt.answers_here():
            attempt.answer(describe_faces(tracklets, embedder.spec.model_id))
        else:
            attempt.put("tracklets", tracklets.to_arrays())
            attempt.pass_on("match")

    reembedder = Reembedder(
        runtime.database, runtime.blobs, partial(shelf.get, urgent=False), batch_size=settings.batch_size
    )
    return {
        TASK_EMBED: make_handler(runtime, embed),
        TASK_EMBED_CHUNK: make_chunk_task(runtime, reembedder.chunk, stage="embed"),
    }


def _load_embedder(engine: Engine, pack: Pack, *, batch_size: int) -> Lanes[Embedder]:
    verify(pack)
    return engine.load(
        pack.path(pack.embedder),
        partial(Embedder, spec=pack.embedder),
        row=(3, CROP_SIDE_PX, CROP_SIDE_PX),
        batch_size=batch_size,
    )


def _make_heads(engine: Engine, pack: Pack, *, batch_size: int) -> Lanes[Heads]:
    """The networks beside the embedder; none is loaded yet."""
    files: list[AttributeModel | LandmarkModel] = [*pack.landmarks]
    if pack.attributes is not None:
        files.append(pack.attributes)
    lock = Lock()

    @cache
    def load_once(file: AttributeModel | LandmarkModel) -> Lanes[BoxNetwork]:
        return engine.load(
            pack.path(file),
            partial(BoxNetwork, name=file.name, image=file.input, widths=WIDTHS[file.contract]),
            row=(3, file.input.side_px, file.input.side_px),
            batch_size=batch_size,
        )

    def load(file: AttributeModel | LandmarkModel, *, urgent: bool) -> BoxNetwork:
        with lock:
            return load_once(file).lane(urgent=urgent)

    def of_lane(*, urgent: bool) -> Heads:
        return Heads({file.contract: partial(load, file, urgent=urgent) for file in files})

    return Lanes(of_lane(urgent=False), of_lane(urgent=True))


def _check_landmarks(pack: Pack) -> None:
    """Refuse a pack with which no face could be aligned: one whose landmarks come from nowhere.

    Raises:
        ConfigurationError: says which file is missing.
    """
    if pack.landmarks:
        return
    if not gives_landmarks(load_session(pack.path(pack.detector)), pack.detector.contract):
        raise ConfigurationError(
            f"pack {pack.name!r}: its detector {pack.detector.name} gives no landmarks, and the pack has no network "
            "that finds them, so no face could be aligned. Put a detector with landmarks first in the manifest, or "
            "add a file of task `landmarks`, or set FACEPIPE_MODEL_PACK to another pack"
        )
