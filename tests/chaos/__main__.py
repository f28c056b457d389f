"""Front door: `python -m tests.chaos`. Kills, wipes and fills what it can while jobs run, and checks every promise."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.burst import burst
from tests.chaos.faults import FAULTS, SHORT
from tests.chaos.run import HEAD, run

ROUNDS = 2


def main() -> int:
    """Exit status 0 when every promise was kept, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Jobs under faults.")
    parser.add_argument("--seed", type=int, default=1, help="decides the order of jobs and faults (default 1)")
    parser.add_argument("--jobs", type=int, default=20, help="jobs under faults at least (default 20)")
    parser.add_argument("--short", action="store_true", help="the part that `make test` runs")
    parser.add_argument("--burst", type=int, metavar="JOBS", help="so many tiny jobs at once instead, without faults")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="facepipe-chaos-") as folder:
        wrong = burst(Path(folder), jobs=asked.burst, say=_say) if asked.burst else _chaos(Path(folder), asked)
    for sentence in wrong:
        _say(f"BROKEN: {sentence}")
    _say(f"{len(wrong)} promises were broken." if wrong else "Every promise was kept.")
    return 1 if wrong else 0


def _chaos(folder: Path, asked: argparse.Namespace) -> list[str]:
    _say(HEAD)
    faults, jobs = (SHORT, 1) if asked.short else (tuple(FAULTS) * ROUNDS, asked.jobs)
    report = run(folder, seed=asked.seed, jobs=jobs, faults=faults, say=_say)
    _say(f"{report.jobs} jobs, {len(report.recoveries)} faults, seed {asked.seed}.")
    return report.wrong


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    sys.exit(main())
