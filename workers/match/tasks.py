"""Glue of the match pool: embeddings → candidates → stored result; and, once a job, the finish."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from common.contracts import TASK_FINISH, TASK_MATCH, JobState, Message, StepRef
from common.errors import NotFoundError
from common.models import Models
from common.records import FinishedJob, StoredTracklet, Track
from common.stage.answers import describe_faces
from common.stage.bulk import make_bulk_tasks
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.store.recording import Recording
from common.store.search import GallerySearch
from common.types import Candidate, Float32s, Tracklets
from workers.match.appearances import absence_ms, merge_tracks
from workers.match.attributes import mean_attributes
from workers.match.bulk import make_kinds
from workers.match.identify import Identity, as_stored, identify
from workers.match.outcome import final_state
from workers.match.people import choose_person, strictest
from workers.match.tracks import Chain, link_tracklets

#: Whose pictures are in memory together, and wait for the disk together.
_TRACKS_AT_ONCE: Final = 32


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler."""
    models = Models(runtime.settings.model_pack, runtime.settings.packs_path)
    runtime.model_ids.append(models.active.model_id)
    search = GallerySearch(runtime.database, index_bytes=runtime.settings.match.index_bytes)
    match = _Match(runtime, models, search)
    return {
        TASK_MATCH: make_handler(runtime, match.segment_or_call),
        TASK_FINISH: make_handler(runtime, match.finish),
        **make_bulk_tasks(runtime, make_kinds(runtime, models, search)),
    }


class _Match:
    def __init__(self, runtime: Runtime, models: Models, search: GallerySearch) -> None:
        self._runtime = runtime
        self._recording = Recording(runtime.database)
        self._search = search
        self._models = models

    def segment_or_call(self, attempt: Attempt) -> None:
        ref = attempt.message.ref
        with attempt.take("tracklets") as arrays:
            tracklets = Tracklets.from_arrays(arrays)
            if isinstance(ref, StepRef):
                self._recording.store_segment(ref, tracklets)
            else:
                model_id = attempt.message.options.model_id or self._models.active.model_id
                candidates = self._candidates(attempt.message, model_id, tracklets.embeddings)
                attempt.answer(describe_faces(tracklets, model_id, candidates))

    def finish(self, attempt: Attempt) -> None:
        ref = attempt.message.ref
        if not isinstance(ref, StepRef):
            raise TypeError("only jobs are finished")
        job = self._recording.read_job(ref)
        tracklets = self._recording.read_tracklets(ref.job_id)
        tracks = self._decide_tracks(attempt.message, job, tracklets)
        attempt.check()
        for first in range(0, len(tracks), _TRACKS_AT_ONCE):
            self._keep_pictures(ref.job_id, tracks[first : first + _TRACKS_AT_ONCE], tracklets)
            attempt.check()
        max_gap_ms = absence_ms(self._runtime.settings.match.max_gap_ms, attempt.message.options.sample_fps)
        appearances = merge_tracks(tracks, max_gap_ms=max_gap_ms)
        state, error = final_state(job)
        self._recording.finish(
            ref,
            state=state,
            error=error,
            model_id=job.model_id,
            tracklets=tracklets,
            tracks=tracks,
            appearances=appearances,
            choose_person=partial(choose_person, min_similarity=self._min_person_similarity(job.model_id)),
        )
        if state is JobState.SUCCEEDED:
            self._runtime.blobs.delete(job.blob_key)  # crops are kept, so nothing is ever decoded again

    def _min_person_similarity(self, model_id: str) -> float:
        return strictest(self._models.pack(model_id).embedder.min_similarity)

    def _candidates(self, message: Message, model_id: str, embeddings: Float32s) -> list[tuple[Candidate, ...]]:
        options = message.options
        if options.gallery_id is None or not len(embeddings):
            return [()] * len(embeddings)
        return self._search.candidates(options.gallery_id, model_id, embeddings, limit=options.limit)

    def _decide_tracks(self, message: Message, job: FinishedJob, tracklets: list[StoredTracklet]) -> list[Track]:
        options = message.options
        calibrated = self._models.calibrated(job.model_id)
        chains = link_tracklets(tracklets, min_similarity=calibrated, max_gap_ms=_seam_gap_ms(options.sample_fps))
        if job.media["kind"] == "image":
            chains = [Chain((i,), tracklet.embedding) for i, tracklet in enumerate(tracklets)]
        embeddings = as_stored(np.array([chain.embedding for chain in chains], np.float32))
        try:
            candidates = self._candidates(message, job.model_id, embeddings)
        except NotFoundError:  # the gallery was deleted while the job ran: everybody is unknown
            candidates = [()] * len(chains)
        identities = identify(
            embeddings,
            np.array([_detections(chain, tracklets) for chain in chains], np.float32),
            candidates,
            min_similarity=calibrated if options.min_similarity is None else options.min_similarity,
            min_margin=options.min_margin,
            stranger_similarity=calibrated,
        )
        return [
            _track(i, chain, tracklets, embeddings[i], identity)
            for i, (chain, identity) in enumerate(zip(chains, identities, strict=True))
        ]

    def _keep_pictures(self, job_id: str, tracks: Sequence[Track], tracklets: list[StoredTracklet]) -> None:
        best = [max(track.members, key=lambda member: (tracklets[member].quality, -member)) for track in tracks]
        pictures = self._recording.read_pictures(job_id, [tracklets[member] for member in best])
        files: dict[str, bytes] = {}
        for track, (crops, thumbnail) in zip(tracks, pictures, strict=True):
            prefix = f"jobs/{job_id}/tracks/{track.track}"
            files |= {f"{prefix}.{number}.jpg": crop for number, crop in enumerate(crops)}
            if thumbnail is not None:
                files[f"{prefix}.thumb.jpg"] = thumbnail
        self._runtime.blobs.put_all(files)


def _seam_gap_ms(sample_fps: float | None) -> int:
    """Two and a half sampling periods: one lost frame at a segment's border does not end a track."""
    return int(2500 / sample_fps) if sample_fps else 0


def _detections(chain: Chain, tracklets: list[StoredTracklet]) -> int:
    return sum(tracklets[member].detections for member in chain.members)


def _track(
    number: int,
    chain: Chain,
    tracklets: list[StoredTracklet],
    embedding: Float32s,
    identity: Identity,
) -> Track:
    members = [tracklets[member] for member in chain.members]
    best = max(members, key=lambda member: member.quality)
    return Track(
        track=number,
        start_ms=min(member.start_ms for member in members),
        end_ms=max(member.end_ms for member in members),
        detections=_detections(chain, tracklets),
        quality=best.quality,
        members=chain.members,
        embedding=embedding,
        subject_id=identity.subject_id,
        stranger=identity.stranger,
        similarity=identity.similarity,
        candidates=identity.candidates,
        crops=len(best.crop_embeddings),
        attributes=mean_attributes((member.attributes, len(member.crop_embeddings)) for member in members),
    )
