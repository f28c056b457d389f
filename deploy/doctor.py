"""Front door: `python -m deploy.doctor [--json]`. Looks at the installation; exit 1 when something fails."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.settings import Settings
from deploy.checks import Finding, examine

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m deploy.doctor", description="Look at this installation.")
    parser.add_argument("--json", action="store_true", help="a list of findings instead of a table")
    options = parser.parse_args(argv)
    try:
        findings = list(examine(Settings()))
    except ValidationError as error:
        problems = "; ".join(f"{'__'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        findings = [Finding("settings", "fail", problems, "See docs/reference/settings.md.")]
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print_table(findings)
    return 1 if any(finding.status == "fail" for finding in findings) else 0


def _print_table(findings: Sequence[Finding]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        status = f"[{_COLOURS[finding.status]}]{finding.status}[/]"
        table.add_row(status, finding.name, escape(finding.found), escape(finding.advice))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
