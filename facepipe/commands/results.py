"""`facepipe results`: who appears, and when."""

import argparse
import csv
import sys
from pathlib import Path

from facepipe.commands.reports import print_report
from facepipe.commands.session import Commands, Session
from facepipe.console import clock, count, guess_text
from facepipe.documents import Appearance, Job

_CSV = ("subject_id", "name", "start_ms", "end_ms", "best_similarity", "detections", "thumbnail_url")
_CSV_GUESSES = ("age", "gender", "gender_score")


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    results = commands.add_parser("results", parents=[common], help="who appears in a job's media, and when")
    results.add_argument("job", metavar="JOB")
    results.add_argument("--csv", action="store_true", help="print comma-separated values, times in ms")
    results.add_argument("--thumbnails", type=Path, metavar="DIR", help="save a picture of each appearance")
    results.set_defaults(run=run_results)


def run_results(session: Session) -> int:
    """Print the results of a job; status 1 when it failed."""
    args = session.args
    if args.csv and args.json:
        raise ValueError("choose one of --json and --csv")
    job = session.client.jobs.get(args.job)
    if job.kind != "media":
        print_report(session, job)
    elif args.csv:
        _print_csv(list(session.client.jobs.appearances(job.id)))
    else:
        print_results(session, job, thumbnails=args.thumbnails)
    if not job.is_final:
        session.terminal.note(f"The job is {job.state}; results come when it has ended.")
    return 1 if job.state == "failed" else 0


def print_results(session: Session, job: Job, *, thumbnails: Path | None = None) -> None:
    """Print a job's state and its appearances.

    Args:
        session: where and whom to ask.
        job: as it is now.
        thumbnails: save the pictures in this folder and name the files instead of the addresses.
    """
    terminal = session.terminal
    appearances = list(session.client.jobs.appearances(job.id))
    pictures = [appearance.thumbnail_url for appearance in appearances]
    if thumbnails:
        pictures = save_thumbnails(session, appearances, thumbnails)
    if terminal.is_json:
        terminal.data({"job": job.to_json(), "appearances": [one.to_json() for one in appearances]})
        return
    if job.error:
        terminal.note(f"The job is {job.state}: {job.error.get('message')}")
        for gap in job.error.get("ranges") or ():
            terminal.note(f"  {clock(gap['start_ms'])} to {clock(gap['end_ms'])}: {gap['message']}")
    if appearances:
        is_guessed = any(one.attributes for one in appearances)
        guess = ("guess",) if is_guessed else ()
        terminal.table(("who", "from>", "to>", "similarity>", "detections>", *guess, "thumbnail"), (
            (
                one.name,
                clock(one.start_ms),
                clock(one.end_ms),
                None if one.best_similarity is None or one.subject_id is None else f"{one.best_similarity:.3f}",
                one.detections,
                *((guess_text(one.attributes),) if is_guessed else ()),
                picture,
            )
            for one, picture in zip(appearances, pictures, strict=True)
        ))  # fmt: skip
    if job.is_final:
        people = len({one.name for one in appearances})
        frames = count(job.progress.frames_done, "frame")
        terminal.say(f"{job.state}: {count(people, 'person') if people == 1 else f'{people} people'}, "
                     f"{count(job.progress.faces, 'face')} in {frames}")  # fmt: skip


def save_thumbnails(session: Session, appearances: list[Appearance], folder: Path) -> list[str | None]:
    """Write one JPEG an appearance; the paths, None where there is no picture."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[str | None] = []
    for number, appearance in enumerate(appearances, start=1):
        picture = session.client.jobs.thumbnail(appearance)
        name = "".join(letter if letter.isalnum() else "-" for letter in appearance.name)
        path = folder / f"{number:03}-{name}.jpg"
        if picture is not None:
            path.write_bytes(picture)
        paths.append(None if picture is None else str(path))
    return paths


def _print_csv(appearances: list[Appearance]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_CSV + _CSV_GUESSES)
    for one in appearances:
        plain = one.to_json()
        guesses = plain["attributes"] or {}
        writer.writerow([*(plain[column] for column in _CSV), *(guesses.get(column) for column in _CSV_GUESSES)])
