"""`facepipe submit` and `facepipe watch`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from facepipe.bars import Bar, JobProgress, open_bars, upload_detail
from facepipe.commands.reports import print_report
from facepipe.commands.results import print_results
from facepipe.commands.session import Commands, Session, a_positive_number, a_similarity
from facepipe.documents import Job
from facepipe.errors import ProtocolError
from facepipe.jobs import is_url


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the commands."""
    submit = commands.add_parser("submit", parents=[common], help="hand over images or videos")
    submit.add_argument("media", nargs="+", metavar="FILE|URL", help="a URL is fetched by the server")
    submit.add_argument("--gallery", "-g", help="whom to look for; without it, faces are found and grouped")
    submit.add_argument("--sample-fps", type=a_positive_number, help="frames looked at per second of video")
    submit.add_argument("--min-similarity", type=a_similarity, help="lower bound of a match, in [-1, 1]")
    submit.add_argument("--attributes", action="store_true", help="guess age and gender of everybody too")
    submit.add_argument("--priority", choices=("high", "normal", "low"))
    submit.add_argument("--webhook-url", metavar="URL", help="the server posts the final document there, signed")
    submit.add_argument("--wait", "-w", action="store_true", help="show progress, then who appears when")
    submit.set_defaults(run=run_submit)
    watch = commands.add_parser("watch", parents=[common], help="show the progress of a job until it ends")
    watch.add_argument("job", metavar="JOB")
    watch.set_defaults(run=run_watch)


def run_submit(session: Session) -> int:
    """Hand over every file; with --wait, status 1 when one did not succeed."""
    args, terminal = session.args, session.terminal
    for media in args.media:
        if not is_url(media):
            with Path(media).open("rb"):  # before anything is sent, so that a mistyped name submits nothing
                pass
    jobs: list[tuple[str, Job]] = []
    with open_bars(terminal) as add_bar:
        for media in args.media:
            job = _submit(session, media, add_bar)
            jobs.append((media, job))
            if not args.wait and terminal.is_json:
                terminal.data(job)
    if not args.wait:
        for media, job in [] if terminal.is_json else jobs:
            terminal.say(f"{job.id}  {media}: accepted. Watch it with: facepipe watch {job.id}")
        return 0
    return watch_jobs(session, jobs)


def run_watch(session: Session) -> int:
    """Follow one job."""
    job = session.client.jobs.get(session.args.job)
    return watch_jobs(session, [(job.id[:8], job)])


def _submit(session: Session, media: str, add_bar: Callable[[str], Bar]) -> Job:
    args = session.args
    show: Callable[[int, int], None] | None = None
    if not is_url(media):
        bar = add_bar(f"upload {Path(media).name}")

        def show(sent: int, total: int) -> None:
            bar.update(sent, total, upload_detail(sent, total))

    return session.client.jobs.submit(
        media,
        gallery=args.gallery,
        sample_fps=args.sample_fps,
        min_similarity=args.min_similarity,
        attributes=args.attributes,
        priority=args.priority,
        webhook_url=args.webhook_url,
        progress=show,
    )


def watch_jobs(session: Session, jobs: list[tuple[str, Job]]) -> int:
    """Show the progress of jobs, each under its label, until all have ended, then what came of them.

    Returns:
        Exit status: 1 when one did not succeed.
    """
    finals: list[Job] = []
    try:
        with open_bars(session.terminal) as add_bar:
            shown = [(job, JobProgress(add_bar(_label(media)))) for media, job in jobs]
            finals.extend(_follow(session, job.id, progress) for job, progress in shown)
    except KeyboardInterrupt:
        for _, job in jobs[len(finals) :]:
            session.terminal.note(f"Job {job.id} goes on. Watch it with: facepipe watch {job.id}")
        raise
    for (media, _), job in zip(jobs, finals, strict=True):
        if len(jobs) > 1 and not session.terminal.is_json:
            session.terminal.say(f"\n{media}")
        if job.kind == "media":
            print_results(session, job)
        else:
            print_report(session, job)
    return 0 if all(job.state == "succeeded" for job in finals) else 1


def _follow(session: Session, job_id: str, progress: JobProgress) -> Job:
    for event in session.client.jobs.events(job_id):
        progress.show(event.job)
        if event.job.is_final:
            return event.job
    raise ProtocolError("protocol", f"The events of job {job_id} ended before the job did.")


def _label(media: str) -> str:
    return media if is_url(media) else Path(media).name
