"""Erasing a person: from the gallery, and from what was found of them in jobs. The receipt stays in the audit.

Tracks that were matched to the person go with their detections, embeddings and pictures: an anonymous track would still
be their face. Everything in the database goes in one transaction, which also promises the removal of the pictures; the
promise is kept right after it, or by housekeeping when the process dies in between.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from common.errors import NotFoundError
from common.ports import BlobStore
from common.store import audit
from common.store.database import Cursor, Database
from common.store.galleries import check_gallery_name

#: Where documents may name a subject beside its own rows: table, column.
_DOCUMENTS: Final = (
    ("jobs", "report"),
    ("jobs", "options"),
    ("steps", "work"),
    ("steps", "result"),
    ("webhooks", "job"),
)


class Erasure:
    """See the module.

    Args:
        blobs: holds the crops and thumbnails.
    """

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def erase(self, gallery: str, subject_id: str) -> dict[str, Any]:
        """Erase somebody everywhere.

        Returns:
            The receipt; `sha256` is of the rest as JSON with sorted keys and without spaces.
        Raises:
            NotFoundError: no such gallery or subject.
            TransientError: nothing was erased.
        """
        with self._database.transaction() as cursor:
            # Jobs that end meanwhile store their tracks before this, or after it and then without the person.
            cursor.execute("lock table tracks in share row exclusive mode")
            gallery_id = _lock_subject(cursor, gallery, subject_id)
            cursor.execute("insert into erased_subjects (subject_id) values (%s) on conflict do nothing", (subject_id,))
            removed: dict[str, Any] = {
                **_remove_tracks(cursor, subject_id),
                **_remove_from_gallery(cursor, gallery_id, subject_id),
                "documents_changed": _clean_documents(cursor, subject_id),
            }
            receipt = _sealed(
                {
                    "version": 1,
                    "gallery": gallery,
                    "subject_id": subject_id,
                    "erased_at": datetime.now(UTC).isoformat(),
                    **_by_whom(),
                    "removed": removed,
                    "exports": _exports(cursor, subject_id),
                    **_left_with_jobs(cursor, gallery_id),
                }
            )
            audit.record(cursor, receipt=receipt, counts={k: v for k, v in removed.items() if isinstance(v, int)})
        self.remove_doomed()
        return receipt

    def remove_doomed(self) -> int:
        """Remove the blobs that were promised to go. Returns how many promises were kept."""
        with self._database.statement() as cursor:
            cursor.execute("select prefix from doomed_blobs order by since")
            prefixes = [row["prefix"] for row in cursor.fetchall()]
        for prefix in prefixes:
            self._blobs.delete(prefix)
        if prefixes:
            with self._database.statement() as cursor:
                cursor.execute("delete from doomed_blobs where prefix = any(%s)", (prefixes,))
        return len(prefixes)


def is_genuine(receipt: Mapping[str, Any]) -> bool:
    """Whether a receipt is unchanged since it was given."""
    return receipt.get("sha256") == _digest({name: value for name, value in receipt.items() if name != "sha256"})


def _sealed(receipt: dict[str, Any]) -> dict[str, Any]:
    return {**receipt, "sha256": _digest(receipt)}


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _by_whom() -> dict[str, str]:
    entry = audit.current()
    return {"key_id": entry.key_id if entry else "", "request_id": entry.request_id if entry else ""}


def _lock_subject(cursor: Cursor, gallery: str, subject_id: str) -> str:
    check_gallery_name(gallery)
    cursor.execute(
        "select g.id from subjects s join galleries g on g.id = s.gallery_id"
        " where g.name = %s and s.id = %s for update of s",
        (gallery, subject_id),
    )
    row = cursor.fetchone()
    if row is None:
        raise NotFoundError(f"The gallery {gallery!r} has no subject {subject_id}.")
    return str(row["id"])


def _remove_tracks(cursor: Cursor, subject_id: str) -> dict[str, Any]:
    """Tracks matched to the person with all that hangs on them, and the person among the candidates of others."""
    cursor.execute(
        "create temporary table doomed_tracks on commit drop as select job_id, track, crops from tracks"
        " where subject_id = %(subject)s or person_id in (select id from people where subject_id = %(subject)s)",
        {"subject": subject_id},
    )
    cursor.execute(
        "insert into doomed_blobs (prefix)"
        " select 'jobs/' || job_id || '/tracks/' || track || '.' || picture || '.jpg' from doomed_tracks,"
        " lateral (select 'thumb' as picture union all select i::text from generate_series(0, crops - 1) as i) p"
        " on conflict do nothing"
    )
    counts: dict[str, Any] = {}
    cursor.execute("select count(*) as tracks, coalesce(sum(crops), 0)::int as track_crops from doomed_tracks")
    counts |= dict(cursor.fetchone())
    counts["thumbnails"] = counts["tracks"]
    cursor.execute(
        "with gone as (delete from detections d using tracklets t, doomed_tracks k"
        "  where t.job_id = k.job_id and t.track = k.track"
        "  and d.job_id = t.job_id and d.ordinal = t.ordinal and d.tracklet = t.tracklet returning d.job_id),"
        " counted as (select job_id, count(*) as n from gone group by job_id),"
        " told as (update jobs j set faces = greatest(0, faces - n) from counted c where j.id = c.job_id)"
        " select coalesce(sum(n), 0)::int as detections from counted"
    )
    counts |= dict(cursor.fetchone())
    for name, statement in {
        "tracklets": "delete from tracklets t using doomed_tracks k where t.job_id = k.job_id and t.track = k.track",
        "track_embeddings": "delete from track_embeddings e using doomed_tracks k"
        " where e.job_id = k.job_id and e.track = k.track",
        "appearances": "delete from appearances where subject_id = %(subject)s",
        "tracks_gone": "delete from tracks t using doomed_tracks k where t.job_id = k.job_id and t.track = k.track",
        # the unknown person that this one was before being named; it has their mean embedding
        "unknown_people": "delete from people where subject_id = %(subject)s",
        # what a track says of its closest subject is said of another one now, or of nobody
        "candidate_lists": "update tracks set candidates = left_over, similarity ="
        " case when subject_id is null and candidates -> 0 ->> 'subject_id' = %(subject)s"
        " then (left_over -> 0 ->> 'similarity')::real else similarity end"
        " from (select job_id as job, track as number, without_id(candidates, %(subject)s) as left_over from tracks"
        "  where candidates @> jsonb_build_array(jsonb_build_object('subject_id', %(subject)s))) c"
        " where job_id = c.job and track = c.number",
    }.items():
        cursor.execute(statement, {"subject": subject_id})
        counts[name] = cursor.rowcount
    del counts["tracks_gone"]
    return counts


def _remove_from_gallery(cursor: Cursor, gallery_id: str, subject_id: str) -> dict[str, Any]:
    cursor.execute(
        "select model_id, count(*)::int as n from sample_embeddings where subject_id = %s group by model_id",
        (subject_id,),
    )
    embeddings = {row["model_id"]: row["n"] for row in cursor.fetchall()}
    cursor.execute("delete from sample_embeddings where subject_id = %s", (subject_id,))
    cursor.execute("delete from samples where subject_id = %s", (subject_id,))
    samples = cursor.rowcount
    cursor.execute("delete from subjects where id = %s", (subject_id,))
    cursor.execute(
        "insert into doomed_blobs (prefix) values (%s) on conflict do nothing",
        (f"galleries/{gallery_id}/{subject_id}",),
    )
    return {"samples": samples, "sample_crops": samples, "sample_embeddings": embeddings}


def _clean_documents(cursor: Cursor, subject_id: str) -> int:
    """Reports of bulk jobs, and deliveries that quote them, lose every entry about the person."""
    changed = 0
    for table, column in _DOCUMENTS:
        cursor.execute(
            "select 1 from information_schema.columns where table_schema = current_schema()"
            " and table_name = %s and column_name = %s",
            (table, column),
        )
        if cursor.fetchone() is None:
            continue
        cursor.execute(
            f"update {table} set {column} = without_id({column}, %(id)s)"  # noqa: S608 - names from _DOCUMENTS
            f" where position(%(id)s in {column}::text) > 0",
            {"id": subject_id},
        )
        changed += cursor.rowcount
    return changed


def _exports(cursor: Cursor, subject_id: str) -> list[dict[str, Any]]:
    """Exports that hold the person: files outside the house, for the operator to delete."""
    cursor.execute(
        "select e.id, e.gallery, e.label, e.key_id, e.began_at, e.ended_at from exports e"
        " join exported_subjects x on x.export_id = e.id where x.subject_id = %s order by e.began_at, e.id",
        (subject_id,),
    )
    return [
        {
            "id": str(row["id"]),
            "gallery": row["gallery"],
            "label": row["label"],
            "key_id": row["key_id"],
            "at": row["began_at"].astimezone(UTC).isoformat(),
            "is_complete": row["ended_at"] is not None,
        }
        for row in cursor.fetchall()
    ]


def _left_with_jobs(cursor: Cursor, gallery_id: str) -> dict[str, list[str]]:
    """Where the face may still be: jobs under way, and uploads that are kept because their job may be tried again."""
    found = {}
    for name, condition in {
        "jobs_under_way": "gallery_id = %s and state in ('queued', 'running')",
        "jobs_with_media": "gallery_id = %s and state not in ('queued', 'running', 'succeeded')"
        " and id in (select job_id from doomed_tracks)",
    }.items():
        cursor.execute(
            f"select id from jobs where {condition} order by created_at, id limit 1000",  # noqa: S608 - from above
            (gallery_id,),
        )
        found[name] = [str(row["id"]) for row in cursor.fetchall()]
    return found
