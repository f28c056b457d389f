"""`facepipe gallery create|list|delete|index` and `facepipe subject list|show|delete`."""

import argparse

from facepipe.commands import gallery_index, gallery_moves
from facepipe.commands.session import Commands, Session, a_similarity
from facepipe.console import clock


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the commands."""
    gallery = commands.add_parser("gallery", help="create, list or delete galleries")
    actions = gallery.add_subparsers(metavar="ACTION", required=True)
    create = actions.add_parser("create", parents=[common], help="a new, empty gallery")
    create.add_argument("name", metavar="GALLERY")
    create.add_argument("--min-similarity", type=a_similarity, help="lower bound of a match in this gallery")
    create.add_argument("--model", help="name of an installed pack, or the id of its model (default: the active pack)")
    create.set_defaults(run=run_create)
    actions.add_parser("list", parents=[common], help="every gallery").set_defaults(run=run_list)
    delete = actions.add_parser("delete", parents=[common], help="erase a gallery with everybody in it")
    delete.add_argument("name", metavar="GALLERY")
    delete.set_defaults(run=run_delete)
    gallery_moves.add_actions(actions, common)
    gallery_index.add_action(actions, common)

    subject = commands.add_parser("subject", help="list, show or delete the people of a gallery")
    actions = subject.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("list", run_list_subjects, "everybody in a gallery"),
        ("show", run_show_subject, "where somebody appears, over all jobs"),
        ("delete", run_delete_subject, "remove somebody from the gallery; `facepipe erase` also from past results"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        if name != "list":
            action.add_argument("subject", metavar="SUBJECT")
        action.add_argument("--gallery", "-g", required=True)
        action.set_defaults(run=run)


def run_create(session: Session) -> int:
    """Make a gallery."""
    args = session.args
    made = session.client.galleries.create(args.name, min_similarity=args.min_similarity, model=args.model)
    if session.terminal.is_json:
        session.terminal.data(made)
    else:
        session.terminal.say(f"Made the gallery {made.name} for the model {made.model_id}.")
    return 0


def run_list(session: Session) -> int:
    """Print every gallery."""
    terminal, galleries = session.terminal, session.client.galleries.list()
    if terminal.is_json:
        for gallery in galleries:
            terminal.data(gallery)
        return 0
    columns = ("gallery", "subjects>", "samples>", "model", "created")
    terminal.table(
        columns,
        ((one.name, one.subject_count, one.sample_count, one.model_id, f"{one.created_at:%F %T}") for one in galleries),
    )
    return 0


def run_delete(session: Session) -> int:
    """Erase a gallery."""
    session.client.galleries.delete(session.args.name)
    return _erased(session, {"name": session.args.name}, f"The gallery {session.args.name} is erased.")


def run_list_subjects(session: Session) -> int:
    """Print everybody in a gallery."""
    terminal, subjects = session.terminal, session.client.subjects.list(session.args.gallery)
    if terminal.is_json:
        for subject in subjects:
            terminal.data(subject)
        return 0
    rows = ((one.id, one.name, one.external_id, one.sample_count) for one in subjects)
    terminal.table(("subject", "name", "external id", "samples>"), rows)
    return 0


def run_show_subject(session: Session) -> int:
    """Print where somebody appears."""
    args, terminal = session.args, session.terminal
    subject = session.client.subjects.get(args.gallery, args.subject)
    appearances = list(session.client.subjects.appearances(args.gallery, args.subject))
    if terminal.is_json:
        terminal.data({"subject": subject.to_json(), "appearances": [one.to_json() for one in appearances]})
        return 0
    terminal.say(f"{subject.name}, {subject.sample_count} samples")
    if appearances:
        rows = ((one.job_id, clock(one.start_ms), clock(one.end_ms), one.best_similarity) for one in appearances)
        terminal.table(("job", "from>", "to>", "similarity>"), rows)
    return 0


def run_delete_subject(session: Session) -> int:
    """Erase somebody."""
    args = session.args
    session.client.subjects.delete(args.gallery, args.subject)
    return _erased(session, {"id": args.subject}, f"The subject {args.subject} is erased from {args.gallery}.")


def _erased(session: Session, document: dict[str, str], sentence: str) -> int:
    if session.terminal.is_json:
        session.terminal.data(dict(document))
    else:
        session.terminal.say(sentence)
    return 0
