"""Glue of the embed pool: faces → aligned crops → one embedding a tracklet."""

from common.contracts import TASK_EMBED
from common.inference.ort import load_session
from common.packs import find_pack, verify
from common.stage.answers import describe_faces
from common.stage.meter import MeteredSession
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.types import Faces
from workers.embed.embedder import Embedder
from workers.embed.process import embed_faces


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler; loads the embedder."""
    settings = runtime.settings.embed
    pack = find_pack(runtime.settings.model_pack, runtime.settings.packs_path)
    verify(pack)
    session = load_session(pack.path(pack.embedder), device=settings.device, intra_op_threads=settings.intra_op_threads)
    embedder = Embedder(MeteredSession(session, runtime.meter), pack.embedder)
    runtime.model_ids.append(pack.model_id)

    def embed(attempt: Attempt) -> None:
        with attempt.take("faces") as arrays:
            tracklets = embed_faces(
                Faces.from_arrays(arrays),
                embedder,
                crops_per_tracklet=settings.crops_per_tracklet,
                batch_size=settings.batch_size,
                every_face=attempt.is_call,
                check=attempt.check,
            )
        if attempt.answers_here():
            attempt.answer(describe_faces(tracklets, pack.model_id))
        else:
            attempt.put("tracklets", tracklets.to_arrays())
            attempt.pass_on("match")

    return {TASK_EMBED: make_handler(runtime, embed)}
