"""What bulk jobs found, for people."""

from collections.abc import Mapping
from typing import Any

from facepipe.commands.calibrate import print_calibration
from facepipe.commands.session import Session
from facepipe.console import clock, count
from facepipe.documents import Job

_SHOWN = 20


def print_report(session: Session, job: Job) -> None:
    """Print the end of a bulk job."""
    terminal = session.terminal
    if terminal.is_json:
        terminal.data(job)
        return
    if job.error:
        terminal.note(f"The job is {job.state}: {job.error.get('message')}")
    report = job.report or {}
    if job.kind == "reindex" and report:
        _print_reindex(session, report)
    elif job.kind == "rematch" and report:
        _print_rematch(session, report)
    elif job.kind == "calibrate" and report:
        print_calibration(session, job)
    elif report:
        facts = ((name, value) for name, value in report.items() if not isinstance(value, (list, dict)))
        terminal.table(("what", "value"), facts)
    if job.is_final:
        terminal.say(f"{job.options.get('gallery') or job.id}: {job.state}")


def _print_reindex(session: Session, report: Mapping[str, Any]) -> None:
    terminal, bounds = session.terminal, report["min_similarity"]
    terminal.say(
        f"{report['from_model']} ({_number(bounds['before'])}) → {report['to_model']} ({_number(bounds['after'])}),"
        " min_similarity in brackets"
    )
    for what in ("samples", "tracks"):
        part = report[what]
        terminal.say(f"{count(part['embedded'], what.removesuffix('s'))} embedded")
        if missing := part["missing_crops"]:
            terminal.note(f"  the crops of {count(len(missing), what.removesuffix('s'))} are gone or damaged")
        if "compared" in part:
            terminal.say(f"  {part['changed']} of {part['compared']} are matched differently")
            terminal.table(
                ("before", "after", f"{what}>"),
                ((one["before"], one["after"], one["count"]) for one in part["answers"]),
            )
    terminal.say("The gallery uses the new index." if report["is_switched"] else "The gallery uses the index it had.")


def _print_rematch(session: Session, report: Mapping[str, Any]) -> None:
    terminal = session.terminal
    terminal.say(
        f"{report['changed_tracks']} of {count(report['tracks'], 'track')} in {report['changed_jobs']} of"
        f" {count(report['jobs'], 'job')} are somebody else now"
    )
    changes = report["changes"][:_SHOWN]
    if changes:
        terminal.table(
            ("job", "from>", "to>", "was", "is", "similarity>"),
            (
                (
                    one["job_id"],
                    clock(one["start_ms"]),
                    clock(one["end_ms"]),
                    one["before"]["name"],
                    one["after"]["name"],
                    _number(one["after"]["similarity"]),
                )
                for one in changes
            ),
        )
    if report["changed_tracks"] > len(changes):
        terminal.note(f"… and {report['changed_tracks'] - len(changes)} more; --json lists them")
    for one in report["skipped"][:_SHOWN]:
        terminal.note(f"  {one['job_id']}: {one['reason']}")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
