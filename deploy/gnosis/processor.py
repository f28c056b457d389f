"""Front door: `facepipe compat processor detection -i PICTURE -p`, and `recognition` with `-d dataset.json`.

See `deploy.gnosis.front` for the exit status.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api.compat.gnosis.faces import describe, inside, recognise
from common.drawing import draw_answer
from common.errors import BadInputError, ConfigurationError
from common.gnosis.dataset import Dataset, read_dataset
from common.settings import Settings
from common.telemetry import configure_logging
from common.types import Uint8s
from deploy.gnosis.analyser import Analyser, open_analyser
from deploy.gnosis.camera import first_picture, open_camera
from deploy.gnosis.front import add_devices, devices_of, note, run_program
from deploy.gnosis.view import TerminalKeys, View, Window
from workers.decode.image import decode_image

_TITLE: Final = "FACE ANALITICS PROCESSOR"
_GREEN, _PLAIN = "\033[32m", "\033[0m"
_CAMERA: Final = "0"

Face = dict[str, Any]


class Processor:
    """Describes the faces of pictures.

    Args:
        analyser: finds them.
        dataset: names them; None numbers them.
    """

    def __init__(self, analyser: Analyser, dataset: Dataset | None) -> None:
        self._analyser = analyser
        self._dataset = dataset

    def look(self, picture: Path) -> tuple[list[Face], list[int | str]]:
        """The faces of a picture and a label for each.

        Raises:
            BadInputError: it is no picture.
        """
        found = self._analyser.find(picture, embed=self._dataset is not None)
        if self._dataset is None:
            return list(found), list(range(len(found)))
        faces = [dict(face) for face in inside(found)]
        return faces, list(recognise(faces, self._dataset, above=self._analyser.above))


def document(faces: Sequence[Face], labels: Sequence[int | str]) -> dict[str, Any]:
    """What `-p` prints of a picture."""
    return {"faces": [describe(face, label) for face, label in zip(faces, labels, strict=True)]}


def report(name: str, found: dict[str, Any]) -> None:
    """One line on stderr, in the original's form; coloured for people alone."""
    time = datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    start, end = (_GREEN, _PLAIN) if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{start}{time}  : : INFO : : {_TITLE}: {name}: {found!r}{end}\n")
    sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    options = make_parser().parse_args(argv)
    return run_program(lambda: _run(options))


def make_parser() -> argparse.ArgumentParser:
    """The flags of the original, and `-c`."""
    parser = argparse.ArgumentParser(
        prog="facepipe compat processor", description="Find the faces of a picture, or name them by a data set."
    )
    parser.add_argument("process", choices=["detection", "recognition"])
    parser.add_argument("-i", "--image", type=Path, metavar="PATH", help="the picture; without: one of the camera")
    parser.add_argument("-d", "--dataset", type=Path, metavar="PATH", help="dataset.json, for recognition")
    parser.add_argument("-t", "--video_test", action="store_true", help="go on with the camera, in a window; q ends it")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about the work")
    parser.add_argument("-s", "--show_img", action="store_true", help="show the picture in a window until a key")
    parser.add_argument("-p", "--print_output", action="store_true", help="print the faces of each picture on stderr")
    parser.add_argument(
        "-c", "--camera", default=_CAMERA, metavar="SOURCE", help="another camera (1), an rtsp:// address or a video"
    )
    add_devices(parser)
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.process == "recognition" and options.dataset is None:
        raise BadInputError("Recognition needs a data set: -d dataset.json (the encoder writes one).")
    settings = Settings()
    configure_logging("debug" if options.verbose else "warning")
    dataset = read_dataset(options.dataset.read_bytes()) if options.process == "recognition" else None
    print(_TITLE, flush=True)
    with (
        open_analyser(settings, devices_of(options)) as analyser,
        tempfile.TemporaryDirectory(prefix="facepipe-gnosis-") as folder,
    ):
        if options.verbose:
            note(f"Faces are found by {analyser.label}.")
        processor = Processor(analyser, dataset)
        if options.video_test:
            _watch(options, settings, processor, Path(folder))
        else:
            _look_once(options, settings, processor, Path(folder))
    return 0


def _look_once(options: argparse.Namespace, settings: Settings, processor: Processor, folder: Path) -> None:
    picture, name = options.image, str(options.image)
    if picture is None:
        picture, name = folder / "frame.jpg", "frame_0"
        picture.write_bytes(first_picture(settings, options.camera))
    window = Window(name) if options.show_img else None  # without a display it is told before the work
    faces, labels = processor.look(picture)
    if options.print_output:
        report(name, document(faces, labels))
    if window is not None:
        with window:
            window.show(_draw(settings, picture, faces, labels))
            window.wait()


def _watch(options: argparse.Namespace, settings: Settings, processor: Processor, folder: Path) -> None:
    picture = folder / "frame.jpg"
    with open_camera(settings, options.camera) as pictures, _open_view("Frame") as view:
        for number, jpeg in enumerate(pictures):
            picture.write_bytes(jpeg)
            faces, labels = processor.look(picture)
            if options.print_output:
                report(f"frame_{number}", document(faces, labels))
            if view.show(_draw(settings, picture, faces, labels)) == "q":
                return


def _open_view(title: str) -> View:
    try:
        return Window(title)
    except ConfigurationError:
        note("There is no display, so nothing is shown; q or Ctrl-C ends it.")
        return TerminalKeys(at_end="")


def _draw(settings: Settings, picture: Path, faces: Sequence[Face], labels: Sequence[int | str]) -> Uint8s:
    pixels = decode_image(str(picture), max_px=settings.decode.max_image_px)
    return draw_answer(pixels, [{**face, "label": label} for face, label in zip(faces, labels, strict=True)])


if __name__ == "__main__":
    sys.exit(main())
