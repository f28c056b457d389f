"""`python -m deploy.demo`: the whole of facepipe in one go, and whether its answer is right.

Exit status 0 when every person was named at the right times, 1 when not or when something failed.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from common.errors import FacepipeError as ServerSideError
from common.ffmpeg import find_ffmpeg
from common.settings import Settings
from deploy.demo.check import find_mistakes
from deploy.demo.montage import script_digest, write_enrolment, write_montage
from deploy.demo.photographs import PEOPLE
from deploy.demo.scenes import DURATION_S, SCENES, true_intervals
from deploy.demo.stack import running_stack
from deploy.stack import ROOT
from facepipe import Client, FacepipeError
from facepipe.bars import JobProgress, open_bars, upload_detail
from facepipe.console import Terminal, clock
from facepipe.documents import Appearance, Job
from facepipe.errors import NotFoundError

_GALLERY = "demo"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo", description="See facepipe work; nothing is downloaded."
    )
    parser.add_argument("--home", type=Path, default=ROOT / ".facepipe" / "demo", help="where the demo keeps its data")
    home: Path = parser.parse_args(argv).home.absolute()
    terminal = Terminal(is_json=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    try:
        media = _prepare(home, terminal)
        with running_stack(home, terminal.say) as url, Client(url) as client:
            _enrol(client, home / "demo-people", terminal)
            job = _submit(client, media, terminal)
            appearances = list(client.jobs.appearances(job.id))
            _show(client, appearances, home / "demo-thumbnails", terminal)
            mistakes = _mistakes(job, appearances)
    except (ServerSideError, FacepipeError, OSError) as error:
        terminal.note(f"The demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        terminal.note("Interrupted; everything that was started is stopped.")
        return 130
    for mistake in mistakes:
        terminal.note(f"Wrong: {mistake}")
    terminal.say("Everybody was named at the right times." if not mistakes else "The answer is not right.")
    return 1 if mistakes else 0


def _prepare(home: Path, terminal: Terminal) -> Path:
    """The demo video and the enrolment images, made unless an earlier run left them."""
    home.mkdir(parents=True, exist_ok=True)
    media = home / f"demo-{script_digest()}.mp4"
    if not media.exists():
        for old in home.glob("demo-*.mp4"):
            old.unlink()
        with open_bars(terminal) as add_bar:
            bar = add_bar("make the demo video")
            write_montage(
                media,
                SCENES,
                ffmpeg_path=find_ffmpeg(Settings().ffmpeg),
                progress=lambda share: bar.update(share, 1.0, f"{share * DURATION_S:.1f} of {DURATION_S:.0f} s"),
            )
    return media


def _enrol(client: Client, folder: Path, terminal: Terminal) -> None:
    people = write_enrolment(folder)
    with suppress(NotFoundError):
        client.galleries.delete(_GALLERY)
    client.galleries.create(_GALLERY)
    with open_bars(terminal) as add_bar:
        bar = add_bar("enrol")
        for done, person in enumerate(people, start=1):
            images = sorted((folder / person.name).iterdir())
            client.subjects.enroll(_GALLERY, person.name, images, external_id=person.name)
            bar.update(done, len(people), person.name)
    names = ", ".join(person.name for person in people)
    terminal.say(f"Enrolled {names}; the others in the video are strangers.")


def _submit(client: Client, media: Path, terminal: Terminal) -> Job:
    with open_bars(terminal) as add_bar:
        upload = add_bar("upload")
        job = client.jobs.submit(
            media,
            gallery=_GALLERY,
            progress=lambda sent, total: upload.update(sent, total, upload_detail(sent, total)),
        )
        progress = JobProgress(add_bar("process"))
        for event in client.jobs.events(job.id):
            job = event.job
            progress.show(job)
    return job


def _show(client: Client, appearances: Sequence[Appearance], folder: Path, terminal: Terminal) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.jpg"):
        old.unlink()
    rows = []
    for number, one in enumerate(appearances, start=1):
        file = folder / f"{number:02}-{one.name.replace(' ', '-')}.jpg"
        if (picture := client.jobs.thumbnail(one)) is not None:
            file.write_bytes(picture)
        similarity = f"{one.best_similarity:.2f}" if one.subject_id and one.best_similarity is not None else None
        rows.append((one.name, clock(one.start_ms), clock(one.end_ms), similarity, one.detections, file.name))
    terminal.table(("who", "from>", "to>", "similarity>", "detections>", "thumbnail"), rows)
    here = Path.cwd()
    terminal.say(f"Thumbnails are in {folder.relative_to(here) if folder.is_relative_to(here) else folder}")


def _mistakes(job: Job, appearances: Sequence[Appearance]) -> list[str]:
    if job.state != "succeeded":
        return [f"the job is {job.state}: {(job.error or {}).get('message')}"]
    truth = true_intervals(SCENES)
    known = {name: intervals for name, intervals in truth.items() if PEOPLE[name].is_known}
    strangers = {name: intervals for name, intervals in truth.items() if not PEOPLE[name].is_known}
    return find_mistakes(appearances, known, strangers)


if __name__ == "__main__":
    sys.exit(main())
