"""Questions about images that are answered at once: `facepipe search`, `detect`, `embed`, `compare`."""

import argparse
from pathlib import Path

from facepipe.commands.audit import a_time
from facepipe.commands.people import print_footage
from facepipe.commands.session import Commands, Session, a_count, a_similarity
from facepipe.console import count, guess_text
from facepipe.documents import Face, Faces

_ATTRIBUTES = "guess age and gender too"


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the commands."""
    search = commands.add_parser("search", parents=[common], help="who in a gallery the faces in an image may be")
    search.add_argument("image", type=Path, metavar="IMAGE")
    search.add_argument("--gallery", "-g", help="who is searched for; with --footage: only jobs that searched it")
    search.add_argument("--footage", action="store_true", help="where the face was ever seen, enrolled or not")
    search.add_argument("--since", type=a_time, metavar="TIME", help="with --footage: only jobs made then or later")
    search.add_argument("--until", type=a_time, metavar="TIME", help="with --footage: only jobs made then or earlier")
    search.add_argument("--min-similarity", type=a_similarity, help="lower bound, in [-1, 1]")
    search.add_argument("--limit", type=a_count, help="candidates per face at most")
    search.add_argument("--attributes", action="store_true", help=_ATTRIBUTES)
    search.set_defaults(run=run_search)
    detect = commands.add_parser("detect", parents=[common], help="where the faces in an image are")
    detect.add_argument("image", type=Path, metavar="IMAGE")
    detect.add_argument("--attributes", action="store_true", help=_ATTRIBUTES)
    detect.set_defaults(run=run_detect)
    embed = commands.add_parser("embed", parents=[common], help="the embeddings of the faces in an image")
    embed.add_argument("image", type=Path, metavar="IMAGE")
    embed.add_argument("--attributes", action="store_true", help=_ATTRIBUTES)
    embed.set_defaults(run=run_embed)
    compare = commands.add_parser("compare", parents=[common], help="whether two images show the same person")
    compare.add_argument("source", type=Path, metavar="A")
    compare.add_argument("target", type=Path, metavar="B")
    compare.add_argument("--min-similarity", type=a_similarity, help="lower bound, in [-1, 1]")
    compare.set_defaults(run=run_compare)


def run_search(session: Session) -> int:
    """Print the candidates of every face, or where the largest one was ever seen."""
    args, terminal = session.args, session.terminal
    if args.footage:
        return _search_footage(session)
    if args.gallery is None:
        raise ValueError("name a --gallery to search, or search everything processed with --footage")
    if args.since or args.until:
        raise ValueError("--since and --until go with --footage")
    found = session.client.search(
        args.gallery, args.image, min_similarity=args.min_similarity, limit=args.limit, attributes=args.attributes
    )
    if terminal.is_json:
        terminal.data(found)
        return 0
    header, guesses = _guess_column(found)
    rows: list[tuple[object, ...]] = []
    for face, guess in zip(found.faces, guesses, strict=True):
        where = _where(face)
        rows += [(where, one.name, f"{one.similarity:.3f}", *guess, one.subject_id) for one in face.candidates]
        rows += [] if face.candidates else [(where, "unknown", None, *guess, None)]
    if rows:
        terminal.table(("face", "who", "similarity>", *header, "subject"), rows)
    terminal.say(f"{count(len(found.faces), 'face')}; least similarity {found.min_similarity}, model {found.model_id}")
    return 0


def _search_footage(session: Session) -> int:
    args, terminal = session.args, session.terminal
    found = session.client.search_footage(
        args.image,
        min_similarity=args.min_similarity,
        since=args.since,
        until=args.until,
        gallery=args.gallery,
        limit=args.limit,
    )
    if terminal.is_json:
        terminal.data(found)
        return 0
    print_footage(session, list(found.items))
    more = f" of {found.found}" if found.found > len(found.items) else ""
    shown = f"{count(len(found.items), 'appearance')}{more}"
    terminal.say(f"{shown}; least similarity {found.min_similarity}, model {found.model_id}")
    return 0


def run_detect(session: Session) -> int:
    """Print the boxes."""
    return _print_faces(session, session.client.detect(session.args.image, attributes=session.args.attributes))


def run_embed(session: Session) -> int:
    """Print the boxes, and with --json the embeddings."""
    args = session.args
    return _print_faces(session, session.client.embeddings(args.image, attributes=args.attributes))


def run_compare(session: Session) -> int:
    """Print how alike two people are; status 0 whether or not they match."""
    args, terminal = session.args, session.terminal
    compared = session.client.compare(args.source, args.target, min_similarity=args.min_similarity)
    if terminal.is_json:
        terminal.data(compared)
        return 0
    verdict = "the same person" if compared.matched else "not known to be the same person"
    terminal.say(f"similarity {compared.similarity:.3f}, at least {compared.min_similarity:.3f} is a match: {verdict}")
    return 0


def _print_faces(session: Session, found: Faces) -> int:
    terminal = session.terminal
    if terminal.is_json:
        terminal.data(found)
        return 0
    if found.faces:
        header, guesses = _guess_column(found)
        faces = zip(found.faces, guesses, strict=True)
        rows = ((_where(face), f"{face.det_score:.3f}", *guess, _dimension(face)) for face, guess in faces)
        terminal.table(("face", "det_score>", *header, "embedding>"), rows)
    terminal.say(count(len(found.faces), "face") + (f", model {found.model_id}" if found.model_id else ""))
    return 0


def _guess_column(found: Faces) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """A heading and a cell a face, or nothing where nothing was guessed."""
    if not any(face.attributes for face in found.faces):
        return (), [()] * len(found.faces)
    return ("guess",), [(guess_text(face.attributes),) for face in found.faces]


def _where(face: Face) -> str:
    return "[" + ", ".join(f"{value:.0f}" for value in face.box) + "]"


def _dimension(face: Face) -> str | None:
    return None if face.embedding is None else f"{len(face.embedding)} numbers (--json)"
