"""`facepipe enroll`: many people into a gallery, from folders or a manifest."""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from facepipe.bars import open_bars
from facepipe.client import Client
from facepipe.commands.session import Commands, Session, a_count
from facepipe.console import count
from facepipe.enrolling import Enroller, Outcome
from facepipe.errors import ConflictError
from facepipe.pace import Pace
from facepipe.roster import Person, Skipped, find_people, read_manifest

_RETRIES = 8

People = Callable[[Skipped], Iterator[Person]]
"""Goes through everybody, and counts what it passes over."""


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    enroll = commands.add_parser(
        "enroll",
        parents=[common],
        help="make people known: a folder a person, <name>_<nr>.jpg, or a manifest",
        description="Enrols people below DIR: every folder with pictures is one, and so is every name of the pictures"
        " <name>_<nr>.jpg in DIR itself; or those that a manifest lists. Pictures that somebody has already are not"
        " sent again, so a run that was interrupted can simply be repeated, and new pictures can be added later.",
    )
    enroll.add_argument("directory", type=Path, metavar="DIR", nargs="?", help="holds JPEG, PNG or WebP")
    enroll.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="CSV, JSON or JSON lines instead of DIR: name, file(s), external_id, metadata; paths relative to FILE",
    )
    enroll.add_argument("--gallery", "-g", required=True, help="made when it is missing")
    add_options(enroll)
    enroll.set_defaults(run=run_enroll)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every command that enrols many takes."""
    parser.add_argument("--max-images", type=a_count, default=50, help="images used per person (default 50)")
    parser.add_argument("--parallel", type=a_count, default=4, help="people enrolled side by side (default 4)")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write every refused image with its reason")


def run_enroll(session: Session) -> int:
    """Enrol everybody; status 1 when somebody could not be."""
    args = session.args
    if (args.directory is None) == (args.manifest is None):
        raise ValueError("name either a folder or a --manifest")

    def people(skipped: Skipped) -> Iterator[Person]:
        if args.manifest is not None:
            return read_manifest(args.manifest, max_images=args.max_images)
        return find_people(args.directory, max_images=args.max_images, skipped=skipped)

    return enroll_people(session, args.gallery, people, source=str(args.manifest or args.directory))


def enroll_people(session: Session, gallery: str, people: People, *, source: str) -> int:
    """Enrol everybody that `people` gives, twice: once to count, once to work; status 1 when somebody could not be.

    Raises:
        ValueError: there is nobody, or the source is malformed; told before anything is sent.
    """
    args, terminal = session.args, session.terminal
    skipped = Skipped()
    images = sum(len(person.images) for person in people(skipped))
    if not images:
        raise ValueError(f"{source} has no JPEG, PNG or WebP images of anybody; make a folder for each person")
    states: Counter[str] = Counter()
    samples = known = 0
    with Client(args.url, args.api_key, retries=_RETRIES) as client, _open_report(args.report, gallery) as report:
        _make_gallery(session, client, gallery)
        with open_bars(terminal) as add_bar:
            pace = Pace(add_bar(f"enroll {gallery}"), "image", images)
            enroller = Enroller(
                client,
                gallery,
                parallel=args.parallel,
                progress=lambda number, is_work: pace.advance(number, is_work=is_work),
            )
            for outcome in enroller.run(people(Skipped())):
                states[outcome.state] += 1
                samples += outcome.samples
                known += outcome.known
                report.add(outcome)
                _tell(session, outcome)
        report.totals = {
            **{state: states[state] for state in ("enrolled", "added", "known", "failed")},
            "samples": samples,
            "known_images": known,
            "refused_images": report.refused,
            "skipped_files": skipped.total,
        }
    added = f", {states['added']} with new samples" if states["added"] else ""
    terminal.say(
        f"Gallery {gallery}: {states['enrolled']} enrolled with {count(samples, 'sample')},"
        f" {states['known']} known before, {states['failed']} failed{added}; {count(report.refused, 'image')} refused."
    )
    if skipped.total:
        terminal.note(
            f"Passed over: {skipped.hidden} hidden, {skipped.other} that are no pictures, {skipped.folders} folders"
            " inside a person's."
        )
    if report.by_reason and not terminal.is_json:
        rows = ((code, number, report.examples[code]) for code, number in report.by_reason.most_common())
        terminal.table(("refused because", "images>", "for example"), rows)
    return 1 if states["failed"] else 0


class Report:
    """Refusals by reason; nothing else is kept, whatever their number.

    Attributes:
        by_reason: code to number of images.
        examples: code to the first of them.
        totals: what the run came to.
    """

    def __init__(self, gallery: str) -> None:
        self.gallery = gallery
        self.by_reason: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.totals: dict[str, int] = {}

    @property
    def refused(self) -> int:
        """Images refused."""
        return sum(self.by_reason.values())

    def add(self, outcome: Outcome) -> None:
        """Count one person's."""
        for refusal in outcome.rejected:
            self.by_reason[refusal.code] += 1
            self.examples.setdefault(refusal.code, f"{outcome.person.label}/{refusal.file}")


class ReportFile(Report):
    """The same, and written to a file as it comes; the file is there under its name once the run has ended."""

    def __init__(self, gallery: str, path: Path) -> None:
        super().__init__(gallery)
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._file = self._part.open("w", encoding="utf-8")
        self._file.write(f'{{"gallery": {json.dumps(gallery)}, "refused": [')
        self._separator = "\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.write(
            f'\n], "by_reason": {json.dumps(self.by_reason)}, "totals": {json.dumps(self.totals)},'
            f' "is_complete": {json.dumps(kind is None)}}}\n'
        )
        self._file.close()
        self._part.replace(self._path)

    def add(self, outcome: Outcome) -> None:
        """Count and write one person's."""
        super().add(outcome)
        person = {"name": outcome.person.name, "external_id": outcome.person.external_id}
        for refusal in outcome.rejected:
            self._write({**person, **refusal.to_json()})
        if outcome.state == "failed" and not outcome.rejected:
            self._write({**person, "file": None, "code": "failed", "message": outcome.reason})

    def _write(self, document: dict[str, Any]) -> None:
        self._file.write(self._separator + json.dumps(document, ensure_ascii=True))
        self._separator = ",\n"


def _open_report(path: Path | None, gallery: str) -> AbstractContextManager[Report]:
    return nullcontext(Report(gallery)) if path is None else ReportFile(gallery, path)


def _make_gallery(session: Session, client: Client, gallery: str) -> None:
    try:
        client.galleries.create(gallery)
        session.terminal.note(f"Made the gallery {gallery}.")
    except ConflictError:
        pass  # it is there


def _tell(session: Session, outcome: Outcome) -> None:
    terminal, person = session.terminal, outcome.person
    if terminal.is_json:
        terminal.data(outcome.to_json())
    if outcome.state == "failed":
        terminal.note(f"{person.label}: not enrolled: {outcome.reason}")
    if person.left_out:
        terminal.note(f"{person.label}: {count(person.left_out, 'image')} left out; --max-images takes more")
    for refusal in outcome.rejected:
        terminal.note(f"{person.label}/{refusal.file}: {refusal.code}: {refusal.message}")
