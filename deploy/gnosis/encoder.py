"""Front door: `facepipe compat encoder -i '{"ann": ["1.jpg"]}' -o dataset.json`. Pictures of people to a data set.

Pictures without a face, or that cannot be read, are left out and named. See `deploy.gnosis.front` for the exit status.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from api.compat.gnosis.faces import encode
from common.errors import BadInputError
from common.gnosis.dataset import write_dataset
from common.settings import Settings
from deploy.gnosis.analyser import Analyser, open_analyser
from deploy.gnosis.front import add_devices, devices_of, note, run_program
from deploy.gnosis.people import People, list_people, read_people
from facepipe.bars import open_bars
from facepipe.console import Terminal

_PRINT: Final = ""
_NO_INPUT: Final = "Please provide input data or input data path"

Row = tuple[str, Sequence[float]]


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    options = make_parser().parse_args(argv)
    return run_program(lambda: _run(options))


def make_parser() -> argparse.ArgumentParser:
    """The flags of both versions of the original."""
    parser = argparse.ArgumentParser(prog="facepipe compat encoder", description="Make a data set of people's faces.")
    parser.add_argument(
        "-i",
        "--input-data",
        "--input_data",
        metavar="JSON",
        help='{"<person>": ["<picture>", …], …}, or a folder as for -ip',
    )
    parser.add_argument(
        "-ip", "--input-data-path", metavar="DIR", help="a folder with a folder of pictures for each person"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="where the data set is written")
    parser.add_argument(
        "-p",
        "--print",
        nargs="?",
        const=_PRINT,
        action="append",
        default=[],
        metavar="DIR",
        help="print the data set between two markers; with a value, the same as -ip",
    )
    add_devices(parser)
    return parser


def chosen_people(options: argparse.Namespace) -> People:
    """Whose pictures the flags name.

    Raises:
        BadInputError: nobody's, or in two ways at once.
    """
    folders = [each for each in (options.input_data_path, *options.print) if each]
    if len(folders) + (options.input_data is not None) > 1:
        raise BadInputError("Give one input: -i JSON, or -ip DIR (or -p DIR).")
    if folders:
        return list_people(Path(folders[0]))
    if not options.input_data:
        raise BadInputError(_NO_INPUT)
    return read_people(options.input_data)


def _run(options: argparse.Namespace) -> int:
    people = chosen_people(options)
    is_printed = _PRINT in options.print
    if options.out is None and not is_printed:
        raise BadInputError("Say where the data set goes: -o FILE writes it, -p prints it.")
    if options.out is not None and (options.out.is_dir() or not options.out.parent.is_dir()):
        raise BadInputError(f"{options.out} cannot be written: name a file in a folder that exists.")
    rows: list[Row] = []
    try:
        with open_analyser(Settings(), devices_of(options)) as analyser:
            _encode(people, analyser, rows)
    except KeyboardInterrupt:
        if options.out is not None and rows:
            partial = options.out.with_name(f"{options.out.name}.partial")
            _write(partial, write_dataset(rows))
            note(f"What was encoded so far lies in {partial}.")
        raise
    text = write_dataset(rows)
    if options.out is not None:
        _write(options.out, text)
    if is_printed:
        sys.stdout.write(f"[OUTPUT:BEGIN]\n{text}\n[OUTPUT:END]\n")
    return 0


def _encode(people: People, analyser: Analyser, rows: list[Row]) -> None:
    """Add a row for each picture with a face."""
    terminal = Terminal(is_json=True)
    pictures = [(label, path) for label, paths in people.items() for path in paths]
    with open_bars(terminal) as add_bar:
        bar = add_bar("Encoding")
        for number, (label, path) in enumerate(pictures):
            bar.update(number, len(pictures), f"{number} of {len(pictures)} pictures")
            try:
                embedding = encode({"faces": analyser.find(path, embed=True)})
                reason = "no face was found"
            except BadInputError as error:
                embedding, reason = None, error.message
            except OSError as error:
                embedding, reason = None, error.strerror or "it cannot be read"
            if embedding is None:
                terminal.note(f"{path} is left out: {reason}")
            else:
                rows.append((label, embedding))


def _write(path: Path, text: str) -> None:
    """The whole file or nothing of it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        fresh = Path(file.name)
        try:
            file.write(text + "\n")
            file.close()
            fresh.chmod(0o666 & ~_umask())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


if __name__ == "__main__":
    sys.exit(main())
