"""`facepipe jobs list|show|cancel|retry|delete`."""

import argparse
from itertools import islice

from facepipe.commands.session import Commands, Session, a_count
from facepipe.console import count

_KINDS = ("media", "reindex", "rematch", "calibrate", "index")
_STATES = ("queued", "running", "succeeded", "partial", "failed", "cancelled")


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the commands."""
    family = commands.add_parser("jobs", help="list, show, cancel, retry or delete jobs")
    actions = family.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="newest first")
    listing.add_argument("--state", choices=_STATES)
    listing.add_argument("--kind", choices=_KINDS)
    listing.add_argument("--limit", type=a_count, default=20, help="at most this many (default 20)")
    listing.set_defaults(run=run_list)
    for name, run, text in (
        ("show", run_show, "everything about one job"),
        ("cancel", run_cancel, "stop a job; what it has found stays"),
        ("retry", run_retry, "run again what failed in a partial or failed job; what it has found stays"),
        ("delete", run_delete, "erase a job with its results, crops and upload"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        action.add_argument("job", metavar="JOB")
        action.set_defaults(run=run)


def run_list(session: Session) -> int:
    """Print the newest jobs."""
    args, terminal = session.args, session.terminal
    jobs = list(islice(session.client.jobs.list(state=args.state, kind=args.kind), args.limit))
    if terminal.is_json:
        for job in jobs:
            terminal.data(job)
        return 0
    terminal.table(
        ("job", "kind", "state", "done>", "frames>", "faces>", "gallery", "submitted"),
        (
            (
                job.id,
                job.kind,
                job.state,
                f"{job.progress.fraction:.0%}",
                job.progress.frames_total,
                job.progress.faces,
                job.options.get("gallery"),
                f"{job.created_at:%Y-%m-%d %H:%M:%S}" if job.created_at else None,
            )
            for job in jobs
        ),
    )
    return 0


def run_show(session: Session) -> int:
    """Print one job."""
    job = session.client.jobs.get(session.args.job)
    if session.terminal.is_json:
        session.terminal.data(job)
        return 0
    progress = job.progress
    facts: list[tuple[str, object]] = [
        ("job", job.id),
        ("state", job.state),
        ("kind", job.kind),
        ("progress", f"{progress.fraction:.1%}, {progress.frames_done} of {progress.frames_total or '?'} frames, "
                     f"{count(progress.faces, 'face')}" if progress.items_done is None else
                     f"{progress.fraction:.1%}, {progress.items_done} of {progress.items_total or '?'} items"),
        *((f"media {name}", value) for name, value in (job.media or {}).items() if value is not None),
        *((name, value) for name, value in job.options.items() if value is not None),
        *((f"error {name}", value) for name, value in (job.error or {}).items() if value),
        ("created", job.created_at),
        ("started", job.started_at),
        ("finished", job.finished_at),
    ]  # fmt: skip
    session.terminal.table(("what", "value"), facts)
    return 0


def run_cancel(session: Session) -> int:
    """Stop a job."""
    job = session.client.jobs.cancel(session.args.job)
    if session.terminal.is_json:
        session.terminal.data(job)
    else:
        session.terminal.say(f"Job {job.id} is {job.state}.")
    return 0


def run_retry(session: Session) -> int:
    """Run again what failed."""
    job = session.client.jobs.retry(session.args.job)
    if session.terminal.is_json:
        session.terminal.data(job)
    else:
        session.terminal.say(f"Job {job.id} is {job.state} again; `facepipe watch {job.id}` follows it.")
    return 0


def run_delete(session: Session) -> int:
    """Erase a job."""
    session.client.jobs.delete(session.args.job)
    if session.terminal.is_json:
        session.terminal.data({"id": session.args.job})
    else:
        session.terminal.say(f"Job {session.args.job} is erased, with its results, crops and upload.")
    return 0
