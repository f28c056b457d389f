"""Front door: `facepipe compat capture -p DIR [-n NAME]`. Pictures of people from the camera, for the encoder.

Keys: s saves `DIR/NAME/NAME<uuid4>.jpg`, n is the next person, g makes pictures lighter or not, q ends. See
`deploy.gnosis.front` for the exit status.
"""

import argparse
import io
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from common.errors import BadInputError, ConfigurationError
from common.settings import Settings
from common.types import Uint8s
from deploy.gnosis.camera import open_camera
from deploy.gnosis.front import note, run_program
from deploy.gnosis.view import TerminalKeys, View, Window

_GAMMA: Final = 1.5
_QUALITY: Final = 95


def capture(
    pictures: Iterable[bytes],
    show: Callable[[Uint8s], str],
    folder: Path,
    name: str,
    ask_name: Callable[[], str],
) -> list[Path]:
    """Show pictures and do what keys say, until q or the last picture.

    Args:
        pictures: JPEG files.
        show: shows one, and gives the key that was pressed.
        folder: where the folders of people lie; made when missing.
        name: of the first person.
        ask_name: gives the name of the next one.

    Returns:
        What was saved.
    Raises:
        BadInputError: a name that is no name of a folder.
    """
    check_name(name)
    saved = []
    is_lighter = False
    for jpeg in pictures:
        pixels = np.asarray(Image.open(io.BytesIO(jpeg), formats=["JPEG"]).convert("RGB"))
        if is_lighter:
            pixels = lighten(pixels)
        key = show(pixels)
        if key == "q":
            break
        if key == "g":
            is_lighter = not is_lighter
        elif key == "n":
            name = check_name(ask_name())
        elif key == "s":
            path = folder / name / f"{name}{uuid.uuid4()}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, "JPEG", quality=_QUALITY)
            saved.append(path)
            note(f"saved {path}")
    return saved


def lighten(pixels: Uint8s) -> Uint8s:
    """(height, width, 3) uint8 in and out, by a gamma of 1.5."""
    levels = (np.linspace(0, 1, 256) ** (1 / _GAMMA) * 255).round().astype(np.uint8)
    return levels[pixels]


def check_name(name: str) -> str:
    """The name without blanks around it.

    Raises:
        BadInputError: it is no name of a folder.
    """
    name = name.strip()
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise BadInputError(f"{name!r} is no name of a person that can name a folder.")
    return name


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    options = make_parser().parse_args(argv)
    return run_program(lambda: _run(options))


def make_parser() -> argparse.ArgumentParser:
    """The flags of the original, and `-c`."""
    parser = argparse.ArgumentParser(
        prog="facepipe compat capture",
        description="Save pictures of people: s saves, n is the next person, g makes them lighter, q ends.",
    )
    parser.add_argument("-p", "--path", type=Path, required=True, metavar="DIR", help="the folders of people lie here")
    parser.add_argument("-n", "--name", metavar="NAME", help="the first person; without: asked for")
    parser.add_argument(
        "-c", "--camera", default="0", metavar="SOURCE", help="another camera (1), an rtsp:// address or a video"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    name = options.name or _ask_name()
    with open_camera(Settings(), options.camera) as pictures, _open_view() as view:
        saved = capture(pictures, view.show, options.path, name, _ask_name)
    note(f"{len(saved)} pictures saved.")
    return 0


def _ask_name() -> str:
    sys.stderr.write("Name of the person: ")
    sys.stderr.flush()
    return sys.stdin.readline()


def _open_view() -> View:
    try:
        return Window("Capture")
    except ConfigurationError:
        note("There is no display: pictures are not shown; the keys are s, n, g and q here.")
        return TerminalKeys(at_end="q")


if __name__ == "__main__":
    sys.exit(main())
