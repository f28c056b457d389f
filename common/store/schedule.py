"""Steps as the scheduler sees them: what to send next, and what died."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from common.contracts import (
    BULK_KINDS,
    CHUNK_TASKS,
    TASK_CONCLUDE,
    TASK_DECODE,
    TASK_FINISH,
    TASK_PLAN,
    TASK_SURVEY,
    Message,
    Priority,
    Stage,
    StepKind,
    StepRef,
    StepState,
)
from common.errors import FacepipeError
from common.metric_names import CounterName
from common.settings import LeaseSettings
from common.store.counters import Counts, add_counts
from common.store.database import Cursor, Database
from common.store.recording import read_options
from common.store.steps import MAX_PAUSE_S, fail_in

#: Plans and pictures take a moment in the decode pool, decoder runs take seconds: they are counted apart. What is sent
#: again after a death goes with them, so that it does not wait until a run has ended either.
LIGHT: Final = "light"

#: Steps of bulk jobs have room of their own in each pool, so that they never take all of it.
BULK: Final[dict[Stage, str]] = {"embed": "bulk embed", "match": "bulk match"}

_FIRST_STAGE: dict[StepKind, tuple[str, Stage]] = {
    StepKind.PLAN: (TASK_PLAN, "decode"),
    StepKind.SEGMENT: (TASK_DECODE, "decode"),
    StepKind.FINISH: (TASK_FINISH, "match"),
    StepKind.SURVEY: (TASK_SURVEY, "match"),
    StepKind.CONCLUDE: (TASK_CONCLUDE, "match"),
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that was promised by claiming its steps."""

    task: str
    message: Message


@dataclass(frozen=True, slots=True)
class Expired:
    """What the reaper found: steps that are sent again, and steps given up as poison."""

    revived: int
    quarantined: int


class Schedule:
    """See the module.

    Args:
        database: where the truth lies.
        lease: how long a sent step may wait, and how often a step may kill its worker.
        span_segments: segments of one decode message at most.
    """

    def __init__(self, database: Database, lease: LeaseSettings, span_segments: int) -> None:
        self._database = database
        self._lease = lease
        self._span_segments = span_segments

    def claim(self, room: dict[str, int]) -> list[Outgoing]:
        """Mark pending steps as sent, no more messages than there is room for; the caller publishes them.

        Jobs take turns: by priority, then what is sent again, then by how little of theirs is in flight, then by age.

        Args:
            room: messages per stage, under `LIGHT` those of the decode pool that take a moment, and under the names in
                `BULK` steps of bulk jobs.
        """
        full = [stage for stage, lane in BULK.items() if room.get(lane, 0) <= 0]
        with self._database.transaction() as cursor:
            cursor.execute(
                "select j.id, j.priority, j.blob_key, j.options, s.kind, s.is_again, s.stage,"
                " s.ordinals, j.media->>'kind' as media_kind,"
                " (select count(*) from steps a where a.job_id = j.id and a.kind = s.kind) as steps from jobs j"
                " cross join lateral ("
                "  select kind, is_again, min(stage) as stage, array_agg(ordinal order by ordinal) as ordinals from ("
                "   select kind, ordinal, stage, deaths + failures > 0 as is_again from steps"
                "   where job_id = j.id and state = 'pending' and not_before <= now()"
                "   and not (kind = any(%s) and stage = any(%s))"
                "   order by kind, is_again desc, ordinal limit %s) first group by kind, is_again) s"
                " where j.state in ('queued', 'running')"
                " order by j.priority, s.is_again desc,"
                "  (select count(*) from steps f where f.job_id = j.id and f.state in ('sent', 'running')),"
                "  j.created_at, j.id limit %s",
                (sorted(BULK_KINDS), full, self._span_segments, max(1, sum(room.values())) * 4),
            )
            outgoing = []
            left = dict(room)
            for row in cursor.fetchall():
                task, stage = _first_stage(row)
                lane = _lane(stage, row)
                for run in _runs(row, self._span_segments):
                    if left.get(lane, 0) > 0:
                        left[lane] -= 1
                        outgoing.append(Outgoing(task, self._claim_run(cursor, row, stage, run)))
        return outgoing

    def in_flight(self) -> dict[str, int]:
        """Messages per stage, `LIGHT` and `BULK` apart, that are waiting in a queue or being worked on."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select s.stage, s.kind, s.deaths + s.failures > 0 as is_again, j.media->>'kind' as media_kind,"
                " count(*) as messages from steps s join jobs j on j.id = s.job_id"
                " where s.state in ('sent', 'running') and not s.waiting"
                " group by s.stage, s.kind, is_again, media_kind"
            )
            messages: Counter[str] = Counter()
            for row in cursor.fetchall():
                messages[_lane(row["stage"], row)] += row["messages"]
        return dict(messages)

    def unclaim(self, outgoing: Outgoing) -> None:
        """The message could not be published: its steps are pending again."""
        with self._database.transaction() as cursor:
            for ref in outgoing.message.span():
                cursor.execute(
                    "update steps set state = 'pending', not_before = now() + interval '1 second' where job_id = %s"
                    " and kind = %s and ordinal = %s and attempt = %s and state = 'sent'",
                    (ref.job_id, str(ref.kind), ref.ordinal, ref.attempt),
                )

    def expire(self) -> Expired:
        """Put steps whose lease ran out back to pending; quarantine those that killed their worker too often.

        Should the database's clock have been set back, leases and pauses that now lie far ahead are cut to what they
        were granted for.
        """
        longest = {
            "lease": timedelta(seconds=max(self._lease.handover_s, self._lease.lease_s)),
            "pause": timedelta(seconds=MAX_PAUSE_S),
        }
        with self._database.transaction() as cursor:
            # An update announces itself even where it changes nothing, and whoever hears of it looks here again.
            cursor.execute(
                "select exists (select from steps where state in ('pending', 'sent', 'running')"
                " and (lease_until < now() or lease_until > now() + %(lease)s"
                " or not_before > now() + %(pause)s)) as found",
                longest,
            )
            if not cursor.fetchone()["found"]:
                return Expired(0, 0)
            cursor.execute(
                "update steps set lease_until = least(lease_until, now() + %(lease)s),"
                " not_before = least(not_before, now() + %(pause)s)"
                " where state in ('pending', 'sent', 'running')"
                " and (lease_until > now() + %(lease)s or not_before > now() + %(pause)s)",
                longest,
            )
            cursor.execute(
                "with gone as (select job_id, kind, ordinal, (state = 'running' and not waiting) as died from steps"
                "  where state in ('sent', 'running') and lease_until < now() for update)"
                " update steps s set deaths = s.deaths + gone.died::int, lease_until = null, waiting = false,"
                " worker = null, state = case when s.deaths + 1 >= %s and gone.died then 'running' else 'pending' end"
                " from gone where s.job_id = gone.job_id and s.kind = gone.kind and s.ordinal = gone.ordinal"
                " returning s.job_id, s.kind, s.ordinal, s.attempt, s.state, s.stage, s.deaths, gone.died",
                (self._lease.max_deaths,),
            )
            rows = cursor.fetchall()
            poison = [row for row in rows if row["state"] == "running"]
            add_counts(cursor, _count_expired(rows, poison))
            for row in poison:
                ref = StepRef(str(row["job_id"]), StepKind(row["kind"]), row["ordinal"], row["attempt"])
                error = FacepipeError(
                    f"Its worker died {row['deaths']} times in stage {row['stage']}; the item is quarantined.",
                    "worker_lost",
                )
                fail_in(cursor, [ref], StepState.QUARANTINED, error)
        return Expired(len(rows) - len(poison), len(poison))

    def resend_all(self) -> int:
        """The broker lost its messages: every step that waits in a queue is pending again."""
        with self._database.statement() as cursor:
            cursor.execute("update steps set state = 'pending', waiting = false where state = 'sent'")
            return int(cursor.rowcount)

    def wanted_keys(self) -> set[str]:
        """`StepRef.key` of every attempt that may own room in the frame store."""
        with self._database.statement() as cursor:
            cursor.execute("select job_id, kind, ordinal, attempt from steps where state in ('sent', 'running')")
            return {
                StepRef(str(row["job_id"]), StepKind(row["kind"]), row["ordinal"], row["attempt"]).key
                for row in cursor.fetchall()
            }

    def missing_jobs(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these names of folders are no job's id."""
        with self._database.statement() as cursor:
            cursor.execute("select id::text from jobs where id::text = any(%s)", (list(job_ids),))
            return set(job_ids) - {row["id"] for row in cursor.fetchall()}

    def spent_media(self, keys: Sequence[str]) -> set[str]:
        """Which of these blob keys are the media of a job that has succeeded and needs it no more."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select blob_key from jobs where state = 'succeeded' and id::text = any(%s)",
                ([key.split("/")[1] for key in keys],),
            )
            return set(keys) & {row["blob_key"] for row in cursor.fetchall()}

    def unused_crops(self, keys: Sequence[str]) -> set[str]:
        """Which of these blob keys are no sample's crop."""
        with self._database.statement() as cursor:
            cursor.execute("select crop_key from samples where crop_key = any(%s)", (list(keys),))
            return set(keys) - {row["crop_key"] for row in cursor.fetchall()}

    def _claim_run(self, cursor: Cursor, job: Any, stage: Stage, run: list[int]) -> Message:
        cursor.execute(
            "update steps set state = 'sent', stage = %s, attempt = attempt + 1, worker = null,"
            " waiting = ordinal > %s, lease_until = now() + %s"
            " where job_id = %s and kind = %s and ordinal = any(%s) and state = 'pending' returning ordinal, attempt",
            (stage, run[0], timedelta(seconds=self._lease.handover_s), job["id"], job["kind"], run),
        )
        attempts = {row["ordinal"]: row["attempt"] for row in cursor.fetchall()}
        refs = [StepRef(str(job["id"]), StepKind(job["kind"]), ordinal, attempts[ordinal]) for ordinal in run]
        message = Message(refs[0], read_options(job["options"]), job["blob_key"], _broker_priority(job))
        return replace(
            message,
            ordinals=tuple(ref.ordinal for ref in refs[1:]),
            attempts=tuple(ref.attempt for ref in refs[1:]),
        )


def _count_expired(rows: Sequence[Any], poison: Sequence[Any]) -> Counts:
    counts: Counter[tuple[CounterName, str]] = Counter()
    counts.update(("leases_expired", row["stage"]) for row in rows)
    counts.update(("steps_died", row["stage"]) for row in rows if row["died"])
    counts.update(("steps_quarantined", row["stage"]) for row in poison)
    return counts


def _first_stage(row: Any) -> tuple[str, Stage]:
    """Task and pool that a pending step begins with."""
    if row["kind"] == StepKind.CHUNK:
        stage: Stage = row["stage"]
        return CHUNK_TASKS[stage], stage
    return _FIRST_STAGE[StepKind(row["kind"])]


def _runs(row: Any, span: int) -> list[list[int]]:
    """Ordinals of the messages to make of a job's pending steps: a decoder run, or chunks one by one."""
    ordinals: list[int] = row["ordinals"]
    return (
        [[ordinal] for ordinal in ordinals]
        if row["kind"] == StepKind.CHUNK
        else [head_run(ordinals, row["steps"], span)]
    )


def _broker_priority(job: Any) -> Priority:
    """Steps of bulk jobs wait behind all media, unless their job is urgent; then they wait among it."""
    priority = Priority(job["priority"])
    if job["kind"] not in BULK_KINDS:
        return priority
    return Priority.NORMAL if priority is Priority.HIGH else Priority.LOW


def _lane(stage: Stage, row: Any) -> str:
    """Which room a message needs: one of `BULK`, `LIGHT`, or that of its stage."""
    if row["kind"] in BULK_KINDS:
        return BULK[stage]
    is_light = row["kind"] == "plan" or row["media_kind"] == "image" or row["is_again"]
    return LIGHT if stage == "decode" and is_light else stage


def head_run(ordinals: Sequence[int], steps: int, span: int) -> list[int]:
    """The first decoder run of pending segments.

    A job's segments are cut into as few runs as there can be, of about one length, so that decoders that work side by
    side end together. A run has no gaps.

    Args:
        ordinals: of the pending ones, ascending, at least one.
        steps: segments of the whole job.
        span: segments of one run at most.
    """
    runs = -(-steps // span)
    run = list(ordinals[:1])
    for ordinal in ordinals[1:]:
        if ordinal != run[-1] + 1 or ordinal * runs // steps != run[0] * runs // steps:
            break
        run.append(ordinal)
    return run
