"""The command line: `facepipe …`.

Exit status: 0, 1 (it failed), 2 (it was asked wrongly), 130 (interrupted by Ctrl-C).
"""

import argparse
import os
import sys
from collections.abc import Sequence

from facepipe import __version__
from facepipe.commands import (
    audit,
    calibrate,
    enroll,
    erase,
    faces,
    galleries,
    jobs,
    people,
    reindex,
    rematch,
    results,
    server,
    submit,
    webhooks,
)
from facepipe.commands.session import Session
from facepipe.console import Terminal, printable
from facepipe.errors import BadRequestError, ConflictError, FacepipeError, NotFoundError, UnauthorizedError

#: In the order of `facepipe --help`.
_COMMANDS = (
    submit,
    results,
    jobs,
    webhooks,
    enroll,
    erase,
    audit,
    faces,
    galleries,
    reindex,
    rematch,
    people,
    calibrate,
    server,
)

_ASKED_WRONGLY = (BadRequestError, NotFoundError, ConflictError, UnauthorizedError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if (status := server.run_if_asked(arguments)) is not None:
        return status
    args = _parser().parse_args(arguments)
    session = Session(args, Terminal(is_json=args.json))
    try:
        status = int(args.run(session))
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except (FacepipeError, OSError, ValueError) as error:
        sys.stderr.write(f"facepipe: {printable(_sentence(error))}\n")
        is_failure = isinstance(error, FacepipeError) and not isinstance(error, _ASKED_WRONGLY)
        status = 1 if is_failure else 2
    finally:
        session.close()
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facepipe",
        description="Who appears in this video, and when?",
        epilog="`facepipe COMMAND --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"facepipe {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--url", help="root of the API (default: FACEPIPE_URL, or this machine on FACEPIPE_PORT or 8000)"
    )
    common.add_argument("--api-key", help="default: FACEPIPE_API_KEY")
    common.add_argument("--json", action="store_true", help="print JSON, one document a line, for scripts")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_parsers(commands, common)
    return parser


def _sentence(error: FacepipeError | OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if not isinstance(error, FacepipeError):
        return str(error)
    lines = [error.message]
    lines += [f"  {image.get('file')}: {image.get('message')}" for image in error.rejected]
    if error.request_id and (error.status or 0) >= 500:
        lines.append(f"  (request {error.request_id})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
