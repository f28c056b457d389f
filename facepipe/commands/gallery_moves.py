"""`facepipe gallery export|import`: a gallery out of a server and into another, and people of other programs' data."""

import argparse
from collections import Counter
from pathlib import Path

from facepipe.archive import Archive, ArchiveError, open_archive, write_archive
from facepipe.bars import open_bars
from facepipe.client import Client
from facepipe.commands.enroll import add_options, enroll_people
from facepipe.commands.session import Commands, Session
from facepipe.commands.submit import watch_jobs
from facepipe.console import count
from facepipe.documents import Gallery
from facepipe.errors import NotFoundError, ProtocolError
from facepipe.foreign import FORMATS, open_foreign
from facepipe.moving import move_in
from facepipe.pace import Pace

_RETRIES = 8


def add_actions(actions: Commands, common: argparse.ArgumentParser) -> None:
    """Define the actions of `facepipe gallery`."""
    out = actions.add_parser(
        "export",
        parents=[common],
        help="write a gallery to a file: people, crops, embeddings, checksums",
        description="The file is written under its name once it is complete. It holds biometric data: the receipt of a"
        " later erasure names it, by the name given here.",
    )
    out.add_argument("name", metavar="GALLERY")
    out.add_argument("--to", type=Path, required=True, metavar="FILE.zip|DIR", help="must not exist yet")
    out.set_defaults(run=run_export)
    into = actions.add_parser(
        "import",
        parents=[common],
        help="take in an exported gallery, or people of another program",
        description="An interrupted import can simply be repeated: what is there is not sent again.",
    )
    into.add_argument("path", type=Path, metavar="PATH", help="what was exported: a ZIP or a folder")
    into.add_argument("--gallery", "-g", help="made when it is missing (default: the name that was exported)")
    into.add_argument("--format", choices=("facepipe", *FORMATS), default="facepipe", help="default: facepipe's own")
    add_options(into)
    into.set_defaults(run=run_import)


def run_export(session: Session) -> int:
    """Write a gallery to a file."""
    args, terminal, client = session.args, session.terminal, session.client
    gallery = client.galleries.get(args.name)
    is_complete = False
    with (
        write_archive(args.to) as archive,
        open_bars(terminal) as add_bar,
        client.galleries.export(args.name, label=args.to.name) as documents,
    ):
        pace = Pace(add_bar(f"export {args.name}"), "sample", gallery.sample_count)
        for document in documents:
            is_complete = archive.take(document)
            if document.get("kind") == "sample":
                pace.advance(1)
        if not is_complete:
            raise ProtocolError("protocol", "The export was cut short; nothing was written. Try again.")
    if terminal.is_json:
        terminal.data({"file": str(args.to), "subjects": archive.subjects, "samples": archive.samples})
    else:
        terminal.say(f"Wrote {args.to}: {count(archive.subjects, 'subject')} with {count(archive.samples, 'sample')}.")
    if archive.missing_crops:
        terminal.note(f"{count(archive.missing_crops, 'sample')} had no crop and cannot be imported again.")
    return 0


def run_import(session: Session) -> int:
    """Take in what was exported; status 1 when a part could not be."""
    args = session.args
    if args.format != "facepipe":
        if args.gallery is None:
            raise ValueError("say into which gallery: --gallery NAME")
        with open_foreign(args.format, args.path, max_images=args.max_images) as foreign:
            return enroll_people(session, args.gallery, lambda _: foreign.people(), source=str(args.path))
    with open_bars(session.terminal) as add_bar:
        pace = Pace(add_bar("check"), "file", None)
        with open_archive(args.path, lambda _: pace.advance(1)) as archive:
            return _import(session, archive)


def _import(session: Session, archive: Archive) -> int:
    args, terminal = session.args, session.terminal
    name = args.gallery or archive.head.get("name")
    if not isinstance(name, str):
        raise ArchiveError("the export does not say what the gallery is called; say it by --gallery")
    states: Counter[str] = Counter()
    samples = damaged = without = 0
    with Client(args.url, args.api_key, retries=_RETRIES) as client:
        gallery = _find_gallery(client, name, archive)
        with open_bars(terminal) as add_bar:
            pace = Pace(add_bar(f"import {name}"), "subject", archive.subjects)
            for moved in move_in(client, name, archive, parallel=args.parallel, progress=pace.advance):
                states[moved.state] += 1
                samples += moved.samples
                damaged += len(moved.damaged)
                without += moved.without_embedding
                if terminal.is_json:
                    terminal.data(moved.to_json())
                if moved.state == "failed":
                    terminal.note(f"{moved.name or moved.member}: not imported: {moved.reason}")
                for sample in moved.damaged:
                    terminal.note(f"{moved.name}: the crop of sample {sample} is damaged or missing; left out")
    terminal.say(
        f"Gallery {name}: {states['imported']} imported with {count(samples, 'sample')},"
        f" {states['known']} known before, {states['failed']} failed; {count(damaged, 'sample')} left out."
    )
    status = 1 if states["failed"] or damaged else 0
    # one of an earlier run that was interrupted counts too: an export of another model always needs it
    if without or gallery.model_id != archive.head.get("model_id"):
        terminal.note(
            f"{count(without, 'sample')} came without an embedding of {gallery.model_id}. It is made from the crops;"
            " they are found once this job has ended. Stopping here does not stop it."
        )
        job = session.client.bulk.reindex(name, gallery.model_id, priority="normal")
        return max(status, watch_jobs(session, [(f"reindex {name}", job)]))
    return status


def _find_gallery(client: Client, name: str, archive: Archive) -> Gallery:
    """The gallery, made when it is missing; its bound is taken over only where the model is the same."""
    try:
        return client.galleries.get(name)
    except NotFoundError:
        gallery = client.galleries.create(name)
    bound = archive.head.get("min_similarity")
    if bound is not None and gallery.model_id == archive.head.get("model_id"):
        client.galleries.delete(name)
        gallery = client.galleries.create(name, min_similarity=bound)
    return gallery
