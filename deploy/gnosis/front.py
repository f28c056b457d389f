"""What the programs have in common: flags of devices, and the exit status of whatever goes wrong.

Exit status: 0, 1 (it failed), 2 (it was asked wrongly), 130 (interrupted by Ctrl-C).
"""

import argparse
import sys
from collections.abc import Callable

from pydantic import ValidationError

from common.errors import BadInputError
from common.errors import FacepipeError as LocalError
from deploy.gnosis.analyser import Devices
from facepipe.console import printable
from facepipe.errors import FacepipeError


def add_devices(parser: argparse.ArgumentParser) -> None:
    """`-dd` and `-rd`."""
    about = "-1 for the CPU, 0 and on for a GPU; the networks are then loaded in this process"
    parser.add_argument("-dd", "--det-dev", type=a_device, metavar="N", help=f"where faces are found: {about}")
    parser.add_argument("-rd", "--rek-dev", type=a_device, metavar="N", help="the same, where they are encoded")


def devices_of(options: argparse.Namespace) -> Devices:
    """What `-dd` and `-rd` said."""
    return Devices(options.det_dev, options.rek_dev)


def a_device(text: str) -> str:
    """The device of a number.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        number = int(text)
    except ValueError:
        number = -2
    if not -1 <= number <= 999:
        raise argparse.ArgumentTypeError(f"{text!r} is no device: -1 is the CPU, 0 the first GPU")
    return "cpu" if number < 0 else f"cuda:{number}"


def run_program(body: Callable[[], int]) -> int:
    """Run and turn every error into a sentence and a status."""
    try:
        status = body()
        sys.stdout.flush()
    except BadInputError as error:
        return fail(error.message, 2)
    except (LocalError, FacepipeError) as error:
        return fail(error.message, 1)
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except ValidationError as error:
        problems = "; ".join(f"{'__'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return fail(f"{problems}. See docs/reference/settings.md.", 2)
    except KeyboardInterrupt:
        return fail("stopped.", 130)
    return status


def fail(text: str, status: int) -> int:
    """Say why, and give the status."""
    note(text)
    return status


def note(text: str) -> None:
    """A line about the work."""
    print(printable(text), file=sys.stderr, flush=True)
