"""Questions about images that are answered at once: `facepipe search`, `detect`, `embed`, `compare`."""

import argparse
from pathlib import Path

from facepipe.commands.session import Commands, Session, a_count, a_similarity
from facepipe.console import count
from facepipe.documents import Face, Faces


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the commands."""
    search = commands.add_parser("search", parents=[common], help="who in a gallery the faces in an image may be")
    search.add_argument("image", type=Path, metavar="IMAGE")
    search.add_argument("--gallery", "-g", required=True)
    search.add_argument("--min-similarity", type=a_similarity, help="lower bound, in [-1, 1]")
    search.add_argument("--limit", type=a_count, help="candidates per face at most")
    search.set_defaults(run=run_search)
    detect = commands.add_parser("detect", parents=[common], help="where the faces in an image are")
    detect.add_argument("image", type=Path, metavar="IMAGE")
    detect.set_defaults(run=run_detect)
    embed = commands.add_parser("embed", parents=[common], help="the embeddings of the faces in an image")
    embed.add_argument("image", type=Path, metavar="IMAGE")
    embed.set_defaults(run=run_embed)
    compare = commands.add_parser("compare", parents=[common], help="whether two images show the same person")
    compare.add_argument("source", type=Path, metavar="A")
    compare.add_argument("target", type=Path, metavar="B")
    compare.add_argument("--min-similarity", type=a_similarity, help="lower bound, in [-1, 1]")
    compare.set_defaults(run=run_compare)


def run_search(session: Session) -> int:
    """Print the candidates of every face."""
    args, terminal = session.args, session.terminal
    found = session.client.search(args.gallery, args.image, min_similarity=args.min_similarity, limit=args.limit)
    if terminal.is_json:
        terminal.data(found)
        return 0
    rows: list[tuple[object, ...]] = []
    for face in found.faces:
        where = _where(face)
        rows += [(where, one.name, f"{one.similarity:.3f}", one.subject_id) for one in face.candidates]
        rows += [] if face.candidates else [(where, "unknown", None, None)]
    if rows:
        terminal.table(("face", "who", "similarity>", "subject"), rows)
    terminal.say(f"{count(len(found.faces), 'face')}; least similarity {found.min_similarity}, model {found.model_id}")
    return 0


def run_detect(session: Session) -> int:
    """Print the boxes."""
    return _print_faces(session, session.client.detect(session.args.image))


def run_embed(session: Session) -> int:
    """Print the boxes, and with --json the embeddings."""
    return _print_faces(session, session.client.embeddings(session.args.image))


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
        rows = ((_where(face), f"{face.det_score:.3f}", _dimension(face)) for face in found.faces)
        terminal.table(("face", "det_score>", "embedding>"), rows)
    terminal.say(count(len(found.faces), "face") + (f", model {found.model_id}" if found.model_id else ""))
    return 0


def _where(face: Face) -> str:
    return "[" + ", ".join(f"{value:.0f}" for value in face.box) + "]"


def _dimension(face: Face) -> str | None:
    return None if face.embedding is None else f"{len(face.embedding)} numbers (--json)"
