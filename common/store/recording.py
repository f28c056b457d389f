"""Writing results: one transaction a segment, one a finished job; doing it twice changes nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg2.extras

from common.contracts import JobState, Options, StepRef, StepState
from common.errors import CancelledError
from common.records import Appearance, Attributes, FinishedJob, StoredTracklet, Track
from common.store.database import Cursor, Database, number_array, row_array, vector_literal
from common.store.people import ChoosePerson, assign_people, lock_people
from common.store.steps import add_finish_if_last, settle, superseded
from common.types import Float32s, Int32s, Int64s, Tracklets, split_bytes


class Recording:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store_segment(self, ref: StepRef, tracklets: Tracklets) -> None:
        """Store a segment's detections and tracklets, count its progress, and settle its step.

        Raises:
            CancelledError: the step is no longer ours; nothing is stored.
        """
        with self._database.transaction() as cursor:
            cursor.execute(
                "update jobs set frames_done = frames_done + %s, faces = faces + %s, media = media || %s"
                " where id = %s and state = 'running'",
                (len(tracklets.frame_index), len(tracklets.frame), _looked_at(tracklets), ref.job_id),
            )
            if cursor.rowcount == 0:
                raise superseded(ref)
            settle(cursor, ref, StepState.DONE)
            for table in ("detections", "tracklets"):
                cursor.execute(
                    f"delete from {table} where job_id = %s and ordinal = %s",  # noqa: S608 - names from the line above
                    (ref.job_id, ref.ordinal),
                )
            _insert_detections(cursor, ref, tracklets)
            _insert_tracklets(cursor, ref, tracklets)
            add_finish_if_last(cursor, ref.job_id)

    def read_job(self, ref: StepRef) -> FinishedJob:
        """The job of a finish step. Raises CancelledError when it is gone."""
        with self._database.transaction() as cursor:
            cursor.execute("select options, model_id, media, blob_key from jobs where id = %s", (ref.job_id,))
            job = cursor.fetchone()
            if job is None:
                raise superseded(ref)
            cursor.execute(
                "select state, start_ms, end_ms, error from steps where job_id = %s and kind = 'segment'"
                " order by ordinal",
                (ref.job_id,),
            )
            steps = cursor.fetchall()
        return FinishedJob(
            read_options(job["options"]),
            job["model_id"],
            job["media"],
            job["blob_key"],
            tuple((row["start_ms"], row["end_ms"], row["error"]) for row in steps if row["error"] is not None),
            sum(row["state"] == "done" for row in steps),
        )

    def read_tracklets(self, job_id: str) -> list[StoredTracklet]:
        """All tracklets of a job in order of time, without their pictures."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select ordinal, tracklet, start_ms, end_ms, detections, first_box, last_box, quality, embedding,"
                " crop_embeddings, age, female_score from tracklets where job_id = %s"
                " order by start_ms, ordinal, tracklet",
                (job_id,),
            )
            return [_stored_tracklet(row) for row in cursor]

    def read_pictures(self, job_id: str, tracklets: Sequence[StoredTracklet]) -> list[tuple[list[bytes], bytes | None]]:
        """Aligned crops, best first, and the thumbnail of each of these tracklets, as JPEG files; none of one gone."""
        wanted = [(tracklet.ordinal, tracklet.tracklet) for tracklet in tracklets]
        with self._database.statement() as cursor:
            cursor.execute(
                "select ordinal, tracklet, crops, thumbnail from tracklets"
                " where job_id = %s and (ordinal, tracklet) in (select * from unnest(%s::int[], %s::int[]))",
                (job_id, [ordinal for ordinal, _ in wanted], [tracklet for _, tracklet in wanted]),
            )
            found = {(row["ordinal"], row["tracklet"]): _pictures_of(row) for row in cursor.fetchall()}
        return [found.get(one, ([], None)) for one in wanted]

    def finish(
        self,
        ref: StepRef,
        *,
        state: JobState,
        error: dict[str, Any] | None,
        model_id: str,
        tracklets: Sequence[StoredTracklet],
        tracks: Sequence[Track],
        appearances: Sequence[Appearance],
        choose_person: ChoosePerson | None = None,
    ) -> None:
        """Store the answer and give the job its final state, in one transaction.

        Args:
            choose_person: says which unknown person a stranger is; None: strangers are nobody's.

        Raises:
            CancelledError: the job was cancelled meanwhile; nothing is stored.
        """
        with self._database.transaction() as cursor:
            cursor.execute(
                "update jobs set state = %s, error = %s, finished_at = now() where id = %s and state = 'running'",
                (str(state), None if error is None else psycopg2.extras.Json(error), ref.job_id),
            )
            if cursor.rowcount == 0:
                raise CancelledError(f"Job {ref.job_id} is no longer running.")
            settle(cursor, ref, StepState.DONE)
            lock_people(cursor, model_id)
            for table in ("appearances", "tracks"):
                cursor.execute(f"delete from {table} where job_id = %s", (ref.job_id,))  # noqa: S608 - as above
            _insert_tracks(cursor, ref.job_id, model_id, tracks)
            insert_appearances(cursor, ref.job_id, appearances)
            _assign_tracks(cursor, ref.job_id, tracklets, tracks)
            if choose_person is not None:
                assign_people(cursor, ref.job_id, model_id, choose_person)
            if state is JobState.SUCCEEDED:  # any other may be tried again, and then needs the pictures once more
                cursor.execute(
                    "update tracklets set crops = '{}', crop_embeddings = '', thumbnail = null where job_id = %s",
                    (ref.job_id,),
                )


def _looked_at(tracklets: Tracklets) -> Any:
    """What the media's document says of the detector."""
    width_px, height_px = tracklets.input_size.tolist()
    known = {"detector_input_px": [width_px, height_px]} if width_px else {}
    return psycopg2.extras.Json(known)


def read_options(document: dict[str, Any]) -> Options:
    """Options from a job row, which also carries what only the API shows."""
    return Options(**{name: document[name] for name in Options.__dataclass_fields__ if name in document})


def _insert_detections(cursor: Cursor, ref: StepRef, found: Tracklets) -> None:
    """One statement, with an array a column: parsing rows of expressions takes longer than storing them."""
    cursor.execute(
        "insert into detections"
        " (job_id, ordinal, frame_index, face, media_time_ms, box, landmarks, det_score, tracklet)"
        " select %s, %s, frame_index, face, media_time_ms, box::real[], landmarks::real[], det_score, tracklet"
        " from unnest(%s::bigint[], %s::int[], %s::bigint[], %s::text[], %s::text[], %s::real[], %s::int[])"
        " as of (frame_index, face, media_time_ms, box, landmarks, det_score, tracklet)",
        (
            ref.job_id,
            ref.ordinal,
            number_array(found.frame_index[found.frame]),
            number_array(_position_in_frame(found.frame)),
            number_array(found.media_time_ms[found.frame]),
            row_array(found.boxes),
            row_array(found.landmarks.reshape(-1, 10)),
            number_array(found.det_scores),
            number_array(found.tracklet),
        ),
    )


def _position_in_frame(frame: Int32s) -> Int64s:
    """(faces,) int64, 0 for the first face of each frame; `frame` is ascending."""
    return np.arange(len(frame)) - np.searchsorted(frame, frame)


def _insert_tracklets(cursor: Cursor, ref: StepRef, found: Tracklets) -> None:
    crops = split_bytes(found.crop_jpegs, found.crop_ends)
    thumbnails = split_bytes(found.thumb_jpegs, found.thumb_ends)
    rows = []
    for tracklet in range(len(found.embeddings)):
        faces = np.flatnonzero(found.tracklet == tracklet)
        first, last = faces[0], faces[-1]
        mine = np.flatnonzero(found.crop_tracklet == tracklet)
        quality = found.quality[found.best_face[tracklet]]
        guess = _mean_guess(found.crop_age[mine], found.crop_female_score[mine])
        rows.append(
            (
                ref.job_id,
                ref.ordinal,
                tracklet,
                int(found.media_time_ms[found.frame[first]]),
                int(found.media_time_ms[found.frame[last]]),
                len(faces),
                found.boxes[first].tolist(),
                found.boxes[last].tolist(),
                float(np.nan_to_num(quality)),
                _bytes_of(found.embeddings[tracklet]),
                _bytes_of(found.crop_embeddings[mine]),
                [psycopg2.Binary(crops[i]) for i in mine],
                psycopg2.Binary(thumbnails[tracklet]),
                *_columns_of(guess),
            )
        )
    psycopg2.extras.execute_values(
        cursor,
        "insert into tracklets (job_id, ordinal, tracklet, start_ms, end_ms, detections, first_box, last_box, quality,"
        " embedding, crop_embeddings, crops, thumbnail, age, female_score) values %s",
        rows,
        template="(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::bytea[], %s, %s, %s)",
    )


def _mean_guess(ages: Float32s, female_scores: Float32s) -> Attributes | None:
    """Over the crops of which something was guessed; None without any."""
    is_known = ~np.isnan(ages)
    if not is_known.any():
        return None
    return Attributes(float(ages[is_known].mean()), float(female_scores[is_known].mean()))


def _columns_of(guess: Attributes | None) -> tuple[float | None, float | None]:
    """`age` and `female_score`."""
    return (None, None) if guess is None else (guess.age, guess.female_score)


def _insert_tracks(cursor: Cursor, job_id: str, model_id: str, tracks: Sequence[Track]) -> None:
    psycopg2.extras.execute_values(
        cursor,
        "insert into tracks (job_id, track, start_ms, end_ms, detections, quality, subject_id, stranger, similarity,"
        " candidates, crops, age, female_score) values %s",
        [
            (
                job_id,
                track.track,
                track.start_ms,
                track.end_ms,
                track.detections,
                track.quality,
                track.subject_id,
                track.stranger,
                track.similarity,
                psycopg2.extras.Json(
                    [{"subject_id": c.subject_id, "similarity": c.similarity} for c in track.candidates]
                ),
                track.crops,
                *_columns_of(track.attributes),
            )
            for track in tracks
        ],
        # a subject erased since it was ranked leaves the track to nobody instead of breaking the job
        template="(%s, %s, %s, %s, %s, %s, (select id from subjects where id = %s::uuid), %s, %s, %s, %s, %s, %s)",
    )
    psycopg2.extras.execute_values(
        cursor,
        "insert into track_embeddings (job_id, track, model_id, embedding) values %s",
        [(job_id, track.track, model_id, vector_literal(track.embedding)) for track in tracks],
        template="(%s, %s, %s, %s::halfvec)",
    )


def _assign_tracks(cursor: Cursor, job_id: str, tracklets: Sequence[StoredTracklet], tracks: Sequence[Track]) -> None:
    psycopg2.extras.execute_values(
        cursor,
        "update tracklets t set track = of.track from (values %s) as of (job_id, ordinal, tracklet, track)"
        " where t.job_id = of.job_id and t.ordinal = of.ordinal and t.tracklet = of.tracklet",
        [
            (job_id, tracklets[member].ordinal, tracklets[member].tracklet, track.track)
            for track in tracks
            for member in track.members
        ],
        template="(%s::uuid, %s, %s, %s)",
        page_size=1000,
    )


def insert_appearances(cursor: Cursor, job_id: str, appearances: Sequence[Appearance]) -> None:
    """Store a job's appearances, of which none may be there yet; in the caller's transaction."""
    psycopg2.extras.execute_values(
        cursor,
        "insert into appearances (job_id, appearance, subject_id, stranger, start_ms, end_ms, best_similarity,"
        " detections, best_track, age, female_score) values %s",
        [
            (
                job_id,
                one.appearance,
                one.subject_id,
                one.stranger,
                one.start_ms,
                one.end_ms,
                one.best_similarity,
                one.detections,
                one.best_track,
                *_columns_of(one.attributes),
            )
            for one in appearances
        ],
        template="(%s, %s, (select id from subjects where id = %s::uuid), %s, %s, %s, %s, %s, %s, %s, %s)",
    )


def _stored_tracklet(row: Any) -> StoredTracklet:
    embedding = _numbers_of(row["embedding"])
    return StoredTracklet(
        ordinal=row["ordinal"],
        tracklet=row["tracklet"],
        start_ms=row["start_ms"],
        end_ms=row["end_ms"],
        detections=row["detections"],
        first_box=np.array(row["first_box"], np.float32),
        last_box=np.array(row["last_box"], np.float32),
        quality=row["quality"],
        embedding=embedding,
        crop_embeddings=_numbers_of(row["crop_embeddings"]).reshape(-1, len(embedding)),
        attributes=None if row["age"] is None else Attributes(row["age"], row["female_score"]),
    )


def _pictures_of(row: Any) -> tuple[list[bytes], bytes | None]:
    thumbnail = row["thumbnail"]
    return [bytes(crop) for crop in row["crops"]], None if thumbnail is None else bytes(thumbnail)


def _bytes_of(numbers: Float32s) -> Any:
    """What `tracklets` keeps of embeddings."""
    return psycopg2.Binary(numbers.astype(">f4").tobytes())


def _numbers_of(kept: memoryview) -> Float32s:
    """Inverse of `_bytes_of`, in one dimension."""
    return np.frombuffer(kept, ">f4").astype(np.float32)
