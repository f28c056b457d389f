"""`facepipe reindex`: galleries moved to another embedding model, and back."""

import argparse
from fnmatch import fnmatchcase

from facepipe.commands.session import Commands, Session, a_similarity
from facepipe.commands.submit import watch_jobs
from facepipe.console import count
from facepipe.documents import Job


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    reindex = commands.add_parser(
        "reindex",
        parents=[common],
        help="move galleries to another embedding model, or back",
        description="Embeds every sample and track again from its stored crop beside the live index, reports who would"
        " be matched differently, and switches at once. Searches go on all the time.",
    )
    which = reindex.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--gallery", "-g", action="append", metavar="NAME", help="a gallery, or a pattern such as 'staff-*'; repeatable"
    )
    which.add_argument("--all", action="store_true", help="every gallery")
    what = reindex.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="name of an installed pack, or the id of its embedding model")
    what.add_argument("--rollback", action="store_true", help="go back to the index before the last switch")
    what.add_argument("--clean", action="store_true", help="remove every index but the live one")
    reindex.add_argument("--dry-run", action="store_true", help="report what would change, and change nothing")
    reindex.add_argument(
        "--no-switch", action="store_true", help="build the index and report; the same command without it switches"
    )
    reindex.add_argument(
        "--allow-missing", action="store_true", help="switch although crops are gone; their samples are found no more"
    )
    reindex.add_argument(
        "--min-similarity", type=a_similarity, help="bound of the galleries from the switch on (default: the model's)"
    )
    reindex.add_argument("--priority", choices=("high", "normal", "low"), default="low")
    reindex.add_argument("--webhook-url", help="where the server posts the final document")
    reindex.add_argument("--wait", action="store_true", help="show progress until the end, and print the reports")
    reindex.set_defaults(run=run_reindex)


def run_reindex(session: Session) -> int:
    """Start a re-index of every gallery named; with --wait, status 1 when one did not succeed."""
    args, terminal = session.args, session.terminal
    names = _galleries(session)
    if args.clean:
        for name in names:
            removed = session.client.bulk.clean(name)
            if terminal.is_json:
                terminal.data({"gallery": name, **removed})
            else:
                samples, tracks = count(removed["samples"], "sample"), count(removed["tracks"], "track")
                terminal.say(f"{name}: removed embeddings of {samples} and {tracks}")
        return 0
    jobs: list[tuple[str, Job]] = []
    for name in names:
        job = _start(session, name)
        jobs.append((name, job))
        if not args.wait:
            if terminal.is_json:
                terminal.data(job)
            else:
                terminal.say(f"{job.id}  {name}: accepted. Watch it with: facepipe watch {job.id}")
    return watch_jobs(session, jobs) if args.wait else 0


def _start(session: Session, gallery: str) -> Job:
    args, bulk = session.args, session.client.bulk
    if args.rollback:
        return bulk.rollback(gallery, priority=args.priority, webhook_url=args.webhook_url)
    return bulk.reindex(
        gallery,
        args.model,
        dry_run=args.dry_run,
        switch="manual" if args.no_switch else "auto",
        allow_missing=args.allow_missing,
        min_similarity=args.min_similarity,
        priority=args.priority,
        webhook_url=args.webhook_url,
    )


def _galleries(session: Session) -> list[str]:
    """Names, each once. Raises ValueError when a pattern fits none."""
    known = [gallery.name for gallery in session.client.galleries.list()]
    patterns = ["*"] if session.args.all else session.args.gallery
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ValueError(f"No gallery is called {pattern!r}; `facepipe gallery list` shows them.")
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]
