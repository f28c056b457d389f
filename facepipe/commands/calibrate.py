"""`facepipe calibrate`: which `min_similarity` a gallery's own samples speak for."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facepipe.bars import JobProgress, open_bars
from facepipe.commands.session import Commands, Session, a_positive_number
from facepipe.documents import Job

_SHOWN = 20


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Define the command."""
    calibrate = commands.add_parser(
        "calibrate",
        parents=[common],
        help="which bound a gallery's own samples speak for, and which samples look wrong",
        description="Compares the samples of a gallery with each other.",
    )
    calibrate.add_argument("--gallery", "-g", required=True)
    wish = calibrate.add_mutually_exclusive_group()
    wish.add_argument("--fmr", type=a_rate, help="wished false match rate of one comparison (default 1e-3)")
    wish.add_argument("--fpir", type=a_rate, help="instead: wished share of searches that name a stranger")
    calibrate.add_argument("--extrapolate", action="store_true", help="recommend beyond what the pairs carry")
    calibrate.add_argument("--save", action="store_true", help="make the recommendation the gallery's min_similarity")
    calibrate.add_argument("--png", type=Path, metavar="FILE", help="save a picture of the curve")
    calibrate.set_defaults(run=run_calibrate)


def a_rate(text: str) -> float:
    """An argument between 0 and 1."""
    rate = a_positive_number(text)
    if rate >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not below 1")
    return rate


def run_calibrate(session: Session) -> int:
    """Calibrate and print what came of it; status 1 when nothing can be recommended."""
    args, terminal = session.args, session.terminal
    job = session.client.bulk.calibrate(
        args.gallery, fmr=args.fmr, fpir=args.fpir, extrapolate=args.extrapolate, save=args.save
    )
    try:
        with open_bars(terminal) as add_bar:
            progress = JobProgress(add_bar(f"calibrate {args.gallery}"))
            for event in session.client.jobs.events(job.id):
                progress.show(event.job)
                job = event.job
    except KeyboardInterrupt:
        terminal.note(f"Job {job.id} goes on. Watch it with: facepipe watch {job.id}")
        raise
    if args.png and job.report and job.report.get("nonmated_pairs"):
        args.png.write_bytes(session.client.bulk.calibration_picture(job.id))
    if terminal.is_json:
        terminal.data(job)
    else:
        print_calibration(session, job)
    return 0 if job.state == "succeeded" and (job.report or {}).get("recommended") else 1


def print_calibration(session: Session, job: Job) -> None:
    """Print the report of a calibration."""
    terminal, report = session.terminal, job.report or {}
    if job.error:
        terminal.note(f"The job is {job.state}: {job.error.get('message')}")
    if "curve" not in report:
        return
    sampled = "" if report["nonmated_pairs"] == report["all_nonmated_pairs"] else (
        f" (of {report['all_nonmated_pairs']}; drawn with seed {report['seed']})"
    )  # fmt: skip
    terminal.say(
        f"{report['subjects']} subjects, {report['samples']} samples: {report['mated_pairs']} pairs of one person,"
        f" {report['nonmated_pairs']} of different people{sampled}; model {report['model_id']}"
    )
    if report["curve"]:
        columns = (
            "FMR 1:1>",
            f"FPIR 1:{report['subjects']}>",
            "min_similarity>",
            "95 %>",
            "FNMR>",
            "wrong pairs>",
            "basis",
        )
        terminal.table(columns, (_cells(row) for row in report["curve"]))
    chosen = report["recommended"]
    if chosen is None:
        terminal.note(report["reason"])
    else:
        terminal.say(
            f"Recommended: min_similarity {chosen['min_similarity']:.4f} ({chosen['basis']}, 95 % between"
            f" {chosen['low']:.4f} and {chosen['high']:.4f}). One comparison of different people matches in"
            f" {chosen['fmr']:.1e}, a search of this gallery names a stranger in {chosen['fpir']:.1e} of cases."
        )
    in_force = chosen["min_similarity"] if report["saved"] else report["current_min_similarity"]
    terminal.say(f"In force: {in_force:.4f}{', saved now' if report['saved'] else ''}.")
    _print_suspects(session, report)


def _cells(row: Mapping[str, Any]) -> tuple[str | None, ...]:
    fnmr = None if row["fnmr"] is None else f"{row['fnmr']:.4f}"
    between = f"{row['low']:.3f}-{row['high']:.3f}"
    rates = (f"{row['fmr']:.0e}", f"{row['fpir']:.1e}", f"{row['min_similarity']:.4f}")
    return (*rates, between, fnmr, f"{row['errors']:g}", row["basis"])


def _print_suspects(session: Session, report: Mapping[str, Any]) -> None:
    terminal = session.terminal
    for key, title in (("duplicates", "Probably one person twice:"), ("look_alikes", "Alike enough to be mistaken:")):
        if pairs := report.get(key):
            terminal.say(f"\n{title}")
            rows = (
                (*(f"{one['name']} ({one['id']})" for one in pair["subjects"]), f"{pair['similarity']:.3f}")
                for pair in pairs[:_SHOWN]
            )
            terminal.table(("subject", "subject", "similarity>"), rows)
    if samples := report.get("mislabelled"):
        terminal.say("\nSamples that look more like somebody else:")
        terminal.table(
            ("sample", "of", "own>", "looks like", "similarity>"),
            (
                (
                    one["sample_id"],
                    one["name"],
                    f"{one['own_similarity']:.3f}",
                    one["other_name"],
                    f"{one['other_similarity']:.3f}",
                )
                for one in samples[:_SHOWN]
            ),
        )
