"""`facepipe audit`: who enrolled, searched, exported, erased whom."""

import argparse
from datetime import datetime
from itertools import islice

from facepipe.commands.session import Commands, Session, a_count


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    audit = commands.add_parser("audit", parents=[common], help="who enrolled, searched, exported, erased whom")
    audit.add_argument("--action", help="only this one, such as search or erase")
    audit.add_argument("--gallery", "-g", help="only this gallery")
    audit.add_argument("--subject", help="only lines that name this subject, by id")
    audit.add_argument("--since", type=a_time, metavar="TIME", help="such as 2026-11-20 or 2026-11-20T08:00")
    audit.add_argument("--until", type=a_time, metavar="TIME", help="exclusive")
    audit.add_argument("--limit", type=a_count, default=50, help="lines at most (default 50)")
    audit.set_defaults(run=run_audit)


def a_time(text: str) -> str:
    """A time as the server takes it; without a zone it is this machine's."""
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no time; write it as 2026-11-20T08:00") from error


def run_audit(session: Session) -> int:
    """Print the newest lines."""
    args, terminal = session.args, session.terminal
    lines = islice(
        session.client.audit.list(
            action=args.action, gallery=args.gallery, subject_id=args.subject, since=args.since, until=args.until
        ),
        args.limit,
    )
    if terminal.is_json:
        for line in lines:
            terminal.data(line)
        return 0
    terminal.table(
        ("at", "by key", "action", "gallery", "subjects", "counts", "request"),
        (
            (
                f"{line.at.astimezone():%F %T}",
                line.key_id or "(this machine)",
                line.action,
                line.gallery,
                _subjects(line.subject_ids),
                " ".join(f"{name}={value}" for name, value in line.counts.items()),
                line.request_id,
            )
            for line in lines
        ),
    )
    return 0


def _subjects(ids: tuple[str, ...]) -> str:
    shown = " ".join(ids[:3])
    return shown if len(ids) <= 3 else f"{shown} and {len(ids) - 3} more"
