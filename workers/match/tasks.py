"""Glue of the match pool: embeddings → candidates → stored result; and, once a job, the finish."""

import numpy as np

from common.contracts import TASK_FINISH, TASK_MATCH, JobState, Message, StepRef
from common.errors import NotFoundError
from common.packs import find_pack
from common.records import FinishedJob, StoredTracklet, Track
from common.stage.answers import describe_faces
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.store.recording import Recording
from common.store.search import GallerySearch
from common.types import Candidate, Float32s, Tracklets
from workers.match.appearances import merge_tracks
from workers.match.decide import Decision, decide
from workers.match.outcome import final_state
from workers.match.strangers import group_strangers
from workers.match.tracks import Chain, link_tracklets


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler."""
    match = _Match(runtime)
    return {
        TASK_MATCH: make_handler(runtime, match.segment_or_call),
        TASK_FINISH: make_handler(runtime, match.finish),
    }


class _Match:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._recording = Recording(runtime.database)
        self._search = GallerySearch(runtime.database)
        pack = find_pack(runtime.settings.model_pack, runtime.settings.packs_path)
        self._model_id = pack.model_id
        self._default_min_similarity = pack.embedder.min_similarity_at()
        runtime.model_ids.append(pack.model_id)

    def segment_or_call(self, attempt: Attempt) -> None:
        ref = attempt.message.ref
        with attempt.take("tracklets") as arrays:
            tracklets = Tracklets.from_arrays(arrays)
            if isinstance(ref, StepRef):
                self._recording.store_segment(ref, tracklets)
            else:
                candidates = self._candidates(attempt.message, tracklets.embeddings)
                attempt.answer(describe_faces(tracklets, self._model_id, candidates))

    def finish(self, attempt: Attempt) -> None:
        ref = attempt.message.ref
        if not isinstance(ref, StepRef):
            raise TypeError("only jobs are finished")
        job = self._recording.read_job(ref)
        tracklets = self._recording.read_tracklets(ref.job_id)
        tracks = self._decide_tracks(attempt.message, job, tracklets)
        attempt.check()
        for track in tracks:
            self._keep_pictures(ref.job_id, track, tracklets)
            attempt.check()
        appearances = merge_tracks(tracks, max_gap_ms=self._absence_ms(attempt.message.options.sample_fps))
        state, error = final_state(job)
        self._recording.finish(
            ref,
            state=state,
            error=error,
            model_id=job.model_id,
            tracklets=tracklets,
            tracks=tracks,
            appearances=appearances,
        )
        if state is JobState.SUCCEEDED:
            self._runtime.blobs.delete(job.blob_key)  # crops are kept, so nothing is ever decoded again

    def _absence_ms(self, sample_fps: float | None) -> int:
        """Longest absence inside an appearance: the setting, but never less than between two samples."""
        configured = self._runtime.settings.match.max_gap_ms
        return max(configured, int(1500 / sample_fps)) if sample_fps else configured

    def _candidates(self, message: Message, embeddings: Float32s) -> list[tuple[Candidate, ...]]:
        options = message.options
        if options.gallery_id is None or not len(embeddings):
            return [()] * len(embeddings)
        return self._search.candidates(options.gallery_id, self._model_id, embeddings, limit=options.limit)

    def _decide_tracks(self, message: Message, job: FinishedJob, tracklets: list[StoredTracklet]) -> list[Track]:
        options = message.options
        min_similarity = self._default_min_similarity if options.min_similarity is None else options.min_similarity
        chains = link_tracklets(
            tracklets, min_similarity=self._default_min_similarity, max_gap_ms=_seam_gap_ms(options.sample_fps)
        )
        if job.media["kind"] == "image":
            chains = [Chain((i,), tracklet.embedding) for i, tracklet in enumerate(tracklets)]
        embeddings = np.array([chain.embedding for chain in chains], np.float32)
        try:
            candidates = self._candidates(message, embeddings)
        except NotFoundError:  # the gallery was deleted while the job ran: everybody is unknown
            candidates = [()] * len(chains)
        decisions = [
            decide(found, min_similarity=min_similarity, min_margin=options.min_margin) for found in candidates
        ]
        unknown = [i for i, decision in enumerate(decisions) if decision.subject_id is None]
        weights = np.array([_detections(chains[i], tracklets) for i in unknown], np.float32)
        numbers = group_strangers(embeddings[unknown], weights, min_similarity=self._default_min_similarity)
        stranger = dict(zip(unknown, numbers.tolist(), strict=True))
        return [
            _track(i, chain, tracklets, decisions[i], stranger=stranger.get(i), candidates=found)
            for i, (chain, found) in enumerate(zip(chains, candidates, strict=True))
        ]

    def _keep_pictures(self, job_id: str, track: Track, tracklets: list[StoredTracklet]) -> None:
        best = max(track.members, key=lambda member: (tracklets[member].quality, -member))
        crops, thumbnail = self._recording.read_pictures(job_id, tracklets[best])
        prefix = f"jobs/{job_id}/tracks/{track.track}"
        for number, crop in enumerate(crops):
            self._runtime.blobs.put(f"{prefix}.{number}.jpg", crop)
        if thumbnail is not None:
            self._runtime.blobs.put(f"{prefix}.thumb.jpg", thumbnail)


def _seam_gap_ms(sample_fps: float | None) -> int:
    """Two and a half sampling periods: one lost frame at a segment's border does not end a track."""
    return int(2500 / sample_fps) if sample_fps else 0


def _detections(chain: Chain, tracklets: list[StoredTracklet]) -> int:
    return sum(tracklets[member].detections for member in chain.members)


def _track(
    number: int,
    chain: Chain,
    tracklets: list[StoredTracklet],
    decision: Decision,
    *,
    stranger: int | None,
    candidates: tuple[Candidate, ...],
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
        embedding=chain.embedding,
        subject_id=decision.subject_id,
        stranger=stranger,
        similarity=decision.similarity,
        candidates=candidates,
        crops=len(best.crop_embeddings),
    )
