"""`facepipe rematch`: finished jobs matched again, against a gallery as it is now."""

import argparse
from datetime import datetime

from facepipe.commands.session import Commands, Session, a_similarity
from facepipe.commands.submit import watch_jobs


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    rematch = commands.add_parser(
        "rematch",
        parents=[common],
        help="find whom a gallery knows by now in jobs that have ended",
        description="Decides anew who is seen in finished jobs, without decoding anything.",
    )
    rematch.add_argument("--gallery", "-g", required=True, help="who is searched for")
    rematch.add_argument(
        "--job", action="append", default=[], metavar="JOB", help="this job; repeatable (default: all of the gallery)"
    )
    rematch.add_argument(
        "--subject", action="append", default=[], metavar="ID", help="only answers about this subject; repeatable"
    )
    rematch.add_argument("--since", type=a_time, metavar="TIME", help="only jobs made at or after, such as 2026-11-01")
    rematch.add_argument("--until", type=a_time, metavar="TIME", help="only jobs made before")
    rematch.add_argument("--min-similarity", type=a_similarity, help="lower bound of a match (default: each job's own)")
    rematch.add_argument("--priority", choices=("high", "normal", "low"), default="low")
    rematch.add_argument("--webhook-url", help="where the server posts the final document")
    rematch.add_argument("--wait", action="store_true", help="show progress until the end, and print the report")
    rematch.set_defaults(run=run_rematch)


def run_rematch(session: Session) -> int:
    """Start a re-match; with --wait, status 1 when it did not succeed."""
    args, terminal = session.args, session.terminal
    job = session.client.bulk.rematch(
        args.gallery,
        jobs=args.job,
        subjects=args.subject,
        since=args.since,
        until=args.until,
        min_similarity=args.min_similarity,
        priority=args.priority,
        webhook_url=args.webhook_url,
    )
    if args.wait:
        return watch_jobs(session, [(args.gallery, job)])
    if terminal.is_json:
        terminal.data(job)
    else:
        terminal.say(f"{job.id}  {args.gallery}: accepted. Watch it with: facepipe watch {job.id}")
    return 0


def a_time(text: str) -> datetime:
    """An ISO date or time; without a zone it is this machine's."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date or time such as 2026-11-01T12:00") from error
