"""`facepipe people list|show|name|merge|split`: strangers who came back."""

import argparse
from pathlib import Path

from facepipe.commands.session import Commands, Session, a_count
from facepipe.commands.submit import watch_jobs
from facepipe.console import clock, count
from facepipe.documents import FootageAppearance, Person


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the commands."""
    people = commands.add_parser("people", help="unknown people over all jobs: look, name, merge")
    actions = people.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser("list", parents=[common], help="unknown people, those seen in most jobs first")
    listed.add_argument("--last-seen", action="store_true", help="those seen last first")
    listed.add_argument("--min-jobs", type=a_count, default=1, help="only people seen in so many jobs")
    listed.add_argument("--limit", type=a_count, default=50, help="people at most (default 50)")
    listed.set_defaults(run=run_list)
    show = actions.add_parser("show", parents=[common], help="where somebody is seen")
    show.add_argument("person", metavar="PERSON")
    show.add_argument("--thumbnail", type=Path, metavar="FILE", help="save a picture")
    show.set_defaults(run=run_show)
    name = actions.add_parser("name", parents=[common], help="enrol somebody, and put the name into past answers")
    name.add_argument("person", metavar="PERSON")
    name.add_argument("name", metavar="NAME")
    name.add_argument("--gallery", "-g", required=True)
    name.add_argument("--external-id", help="your own key, unique in the gallery")
    name.add_argument("--wait", action="store_true", help="until past answers carry the name")
    name.set_defaults(run=run_name)
    merge = actions.add_parser("merge", parents=[common], help="two people are one")
    merge.add_argument("person", metavar="PERSON")
    merge.add_argument("into", metavar="INTO", help="the person that stays")
    merge.set_defaults(run=run_merge)
    split = actions.add_parser("split", parents=[common], help="a track shows somebody else")
    split.add_argument("person", metavar="PERSON")
    split.add_argument("job", metavar="JOB")
    split.add_argument("track", metavar="TRACK", type=int)
    split.set_defaults(run=run_split)


def run_list(session: Session) -> int:
    """Print unknown people."""
    args, terminal = session.args, session.terminal
    order = "last_seen" if args.last_seen else "most_seen"
    found = session.client.people.list(order=order, min_jobs=args.min_jobs)
    people = [person for person, _ in zip(found, range(args.limit), strict=False)]
    if terminal.is_json:
        for person in people:
            terminal.data(person)
    elif people:
        _print_people(session, people)
    else:
        terminal.say("Nobody is unknown.")
    return 0


def run_show(session: Session) -> int:
    """Print where somebody is seen."""
    args, terminal = session.args, session.terminal
    person = session.client.people.get(args.person)
    appearances = list(session.client.people.appearances(person.id))
    if args.thumbnail:
        args.thumbnail.write_bytes(session.client.people.thumbnail(person))
    if terminal.is_json:
        terminal.data({"person": person.to_json(), "appearances": [one.to_json() for one in appearances]})
        return 0
    _print_people(session, [person])
    print_footage(session, appearances)
    return 0


def run_name(session: Session) -> int:
    """Name somebody; with --wait, status 1 when past answers could not be changed."""
    args, terminal = session.args, session.terminal
    named = session.client.people.name(args.person, args.gallery, args.name, external_id=args.external_id)
    if terminal.is_json and not args.wait:
        terminal.data(named)
        return 0
    samples = count(named.subject.sample_count or 0, "sample")
    terminal.say(f"{args.name} is enrolled in {args.gallery} with {samples} (subject {named.subject.id}).")
    if named.rematch_job_id is None:
        terminal.say("There are no past answers to change.")
        return 0
    if args.wait:
        return watch_jobs(session, [(args.gallery, session.client.jobs.get(named.rematch_job_id))])
    terminal.say(f"Past answers get the name: facepipe watch {named.rematch_job_id}")
    return 0


def run_merge(session: Session) -> int:
    """Make two people one."""
    return _print_person(session, session.client.people.merge(session.args.person, session.args.into))


def run_split(session: Session) -> int:
    """Take a track out of a person."""
    args = session.args
    return _print_person(session, session.client.people.split(args.person, args.job, args.track))


def print_footage(session: Session, appearances: list[FootageAppearance]) -> None:
    """Print where a face is seen."""
    if appearances:
        session.terminal.table(
            ("job", "from>", "to>", "similarity>", "who", "thumbnail"),
            (
                (
                    one.job_id,
                    clock(one.start_ms),
                    clock(one.end_ms),
                    None if one.similarity is None else f"{one.similarity:.3f}",
                    one.name,
                    one.thumbnail_url,
                )
                for one in appearances
            ),
        )


def _print_person(session: Session, person: Person) -> int:
    if session.terminal.is_json:
        session.terminal.data(person)
    else:
        _print_people(session, [person])
    return 0


def _print_people(session: Session, people: list[Person]) -> None:
    session.terminal.table(
        ("person", "name", "jobs>", "tracks>", "first seen", "last seen"),
        (
            (one.id, one.name, one.jobs, one.tracks, f"{one.first_seen_at:%F %T}", f"{one.last_seen_at:%F %T}")
            for one in people
        ),
    )
