"""`facepipe erase`: somebody out of the gallery and out of everything that was found of them."""

import argparse
import json
import sys
from pathlib import Path

from facepipe.client import Client
from facepipe.commands.session import Commands, Session
from facepipe.console import count
from facepipe.documents import Receipt, Subject
from facepipe.errors import NotFoundError


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    erase = commands.add_parser(
        "erase",
        parents=[common],
        help="erase somebody for good: gallery, crops, embeddings, tracks and appearances, with a receipt",
        description="Removes a person from a gallery and from the results of every job, all or nothing. The receipt is"
        " printed and kept in the audit; it names exports that hold the person, which only you can delete.",
    )
    erase.add_argument("subject", metavar="SUBJECT", help="id, as `facepipe subject list` shows it, or external id")
    erase.add_argument("--gallery", "-g", required=True)
    erase.add_argument("--yes", action="store_true", help="do not ask")
    erase.add_argument("--receipt", type=Path, metavar="FILE.json", help="write the receipt there too")
    erase.set_defaults(run=run_erase)


def run_erase(session: Session) -> int:
    """Erase somebody; status 1 when the answer was no."""
    args, terminal, client = session.args, session.terminal, session.client
    subject = _find(client, args.gallery, args.subject)
    if not args.yes and not _is_sure(session, subject):
        terminal.note("Nothing was erased.")
        return 1
    receipt = client.subjects.erase(args.gallery, subject.id)
    if args.receipt is not None:
        args.receipt.write_text(json.dumps(receipt.to_json(), indent=2, ensure_ascii=False) + "\n")
    if terminal.is_json:
        terminal.data(receipt)
    else:
        _show(session, receipt)
    return 0


def _find(client: Client, gallery: str, asked: str) -> Subject:
    for subject in client.subjects.list(gallery, external_id=asked):
        return subject
    try:
        return client.subjects.get(gallery, asked)
    except NotFoundError as error:
        raise ValueError(f"the gallery {gallery} has nobody with the id or external id {asked}") from error


def _is_sure(session: Session, subject: Subject) -> bool:
    """Ask. Raises ValueError when nobody can answer."""
    if not sys.stdin.isatty():
        raise ValueError("this cannot be undone: say --yes")
    session.terminal.note(
        f"Erase {subject.name} ({subject.id}) with {count(subject.sample_count or 0, 'sample')} and every appearance in"
        " past results? This cannot be undone. Type yes:"
    )
    return sys.stdin.readline().strip().lower() == "yes"


def _show(session: Session, receipt: Receipt) -> None:
    terminal = session.terminal
    terminal.say(f"Erased {receipt.subject_id} from {receipt.gallery} at {receipt.erased_at}.")
    rows = [
        (name.replace("_", " "), sum(value.values()) if isinstance(value, dict) else value)
        for name, value in receipt.removed.items()
    ]
    terminal.table(("removed", "number>"), rows)
    if receipt.exports:
        terminal.say("Exports that hold this person; delete these files or replace them:")
        terminal.table(
            ("export", "file", "made at", "by key"),
            [(one["id"], one["label"], one["at"], one["key_id"]) for one in receipt.exports],
        )
    for jobs, text in (
        (receipt.jobs_under_way, "had not ended; the face may be found there as a stranger"),
        (receipt.jobs_with_media, "showed this person and keep their upload for a retry; delete them to be sure"),
    ):
        if jobs:
            terminal.say(f"Jobs that {text}: {', '.join(jobs)}")
    terminal.say(f"SHA-256 of the receipt: {receipt.sha256}")
