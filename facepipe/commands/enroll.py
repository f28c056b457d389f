"""`facepipe enroll`: a folder of people into a gallery."""

import argparse
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facepipe.bars import open_bars
from facepipe.client import Client
from facepipe.commands.session import Commands, Session, a_count
from facepipe.console import count
from facepipe.errors import ConflictError, FacepipeError, UnusableImagesError

_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class PersonFolder:
    """Somebody to enrol: the folder's name is the external id, with spaces for underscores it is the name.

    Attributes:
        left_out: further images of the folder, beyond `--max-images`.
    """

    external_id: str
    images: tuple[Path, ...]
    left_out: int = 0

    @property
    def name(self) -> str:
        """The person's name."""
        return self.external_id.replace("_", " ").strip() or self.external_id


@dataclass(slots=True)
class Outcome:
    """What became of one person."""

    person: PersonFolder
    state: str = "enrolled"
    samples: int = 0
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "external_id": self.person.external_id,
            "state": self.state,
            "samples": self.samples,
            "rejected": [dict(zip(("file", "code", "message"), one, strict=True)) for one in self.rejected],
            "reason": self.reason,
        }


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    enroll = commands.add_parser(
        "enroll",
        parents=[common],
        help="make people known: a folder a person",
        description="Enrols every folder below DIR as a person; who is in the gallery already is left alone, so a run"
        " that was interrupted can simply be repeated.",
    )
    enroll.add_argument("directory", type=Path, metavar="DIR", help="holds a folder a person, with JPEG, PNG or WebP")
    enroll.add_argument("--gallery", "-g", required=True, help="made when it is missing")
    enroll.add_argument("--max-images", type=a_count, default=50, help="images used per person (default 50)")
    enroll.add_argument("--parallel", type=a_count, default=4, help="people enrolled side by side (default 4)")
    enroll.set_defaults(run=run_enroll)


def run_enroll(session: Session) -> int:
    """Enrol everybody; status 1 when somebody could not be."""
    args, terminal, client = session.args, session.terminal, session.client
    people = find_people(args.directory, max_images=args.max_images)
    if not people:
        raise ValueError(f"{args.directory} has no folder with JPEG, PNG or WebP images; make one for each person")
    try:
        client.galleries.create(args.gallery)
        terminal.note(f"Made the gallery {args.gallery}.")
    except ConflictError:
        pass  # it is there
    known = {subject.external_id for subject in client.subjects.list(args.gallery)}
    todo = [person for person in people if person.external_id not in known]
    outcomes = [Outcome(person, "known") for person in people if person.external_id in known]
    with open_bars(terminal) as add_bar:
        bar = add_bar(f"enroll {args.gallery}")
        for outcome in _enroll_all(client, args.gallery, todo, args.parallel):
            outcomes.append(outcome)
            _report(session, outcome)
            bar.update(len(outcomes) - len(people) + len(todo), len(todo), outcome.person.name)
    if terminal.is_json:
        for outcome in outcomes:
            terminal.data(outcome.to_json())
    states = [outcome.state for outcome in outcomes]
    samples = sum(outcome.samples for outcome in outcomes)
    refused = sum(len(outcome.rejected) for outcome in outcomes)
    terminal.say(
        f"Gallery {args.gallery}: {states.count('enrolled')} enrolled with {count(samples, 'sample')},"
        f" {states.count('known')} known before, {states.count('failed')} failed; {count(refused, 'image')} refused."
    )
    return 1 if "failed" in states else 0


def find_people(directory: Path, *, max_images: int) -> list[PersonFolder]:
    """Every folder with images, by name; images by name, at most `max_images`.

    Raises:
        OSError: the directory cannot be read.
    """
    people = []
    for folder in sorted(entry for entry in directory.iterdir() if entry.is_dir()):
        images = sorted(file for file in folder.iterdir() if file.suffix.lower() in _IMAGES and file.is_file())
        if images:
            left_out = max(0, len(images) - max_images)
            people.append(PersonFolder(folder.name, tuple(images[:max_images]), left_out))
    return people


def _enroll_all(client: Client, gallery: str, people: list[PersonFolder], parallel: int) -> Iterator[Outcome]:
    """Outcomes as they come; on an interruption those under way are finished and no more are begun."""
    waiting = iter(people)
    running: set[Future[Outcome]] = set()
    with ThreadPoolExecutor(parallel) as pool:
        while True:
            for person in waiting:
                running.add(pool.submit(_enroll, client, gallery, person))
                if len(running) >= parallel:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _enroll(client: Client, gallery: str, person: PersonFolder) -> Outcome:
    outcome = Outcome(person)
    try:
        answer = client.subjects.enroll(gallery, person.name, person.images, external_id=person.external_id)
        outcome.samples = len(answer.samples)
        outcome.rejected = [(image.file, image.code, image.message) for image in answer.rejected]
    except ConflictError as error:
        # somebody else, or a try whose answer was lost, has just enrolled this person
        if not list(client.subjects.list(gallery, external_id=person.external_id)):
            outcome.state, outcome.reason = "failed", error.message
        else:
            outcome.state = "known"
    except UnusableImagesError as error:
        outcome.state, outcome.reason = "failed", "no image has a usable face"
        outcome.rejected = [(image["file"], image["code"], image["message"]) for image in error.rejected]
    except (FacepipeError, OSError) as error:
        outcome.state, outcome.reason = "failed", str(error)
    return outcome


def _report(session: Session, outcome: Outcome) -> None:
    if outcome.state == "failed":
        session.terminal.note(f"{outcome.person.external_id}: not enrolled: {outcome.reason}")
    if outcome.person.left_out:
        session.terminal.note(
            f"{outcome.person.external_id}: {count(outcome.person.left_out, 'image')} left out; --max-images takes more"
        )
    for file, code, message in outcome.rejected:
        session.terminal.note(f"{outcome.person.external_id}/{file}: {code}: {message}")
