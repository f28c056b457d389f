"""Front door: `python -m deploy.models list | install | verify | show`; `facepipe models` starts it.

Exit status: 0, 1 (it failed), 2 (it was asked wrongly), 130 (interrupted by Ctrl-C).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from common.errors import BadInputError, FacepipeError, TransientError
from common.packs import Manifest, Pack, find_pack, verify
from common.settings import Settings
from deploy.models.catalogue import CATALOGUE, load_catalogue
from deploy.models.describe import as_lines, describe_pack, list_packs
from deploy.models.install import Offer, Shelf, by_hand, install, offer_by_name, offer_from
from deploy.models.progress import open_bar
from deploy.models.trial import examine

_STATES: Final = {"installed": "green", "incomplete": "yellow", "broken": "bold red", "available": "dim"}


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    options = _parser().parse_args(argv)
    try:
        settings = Settings()
        shelf = Shelf(settings.home / "models", settings.packs_path, load_catalogue(options.catalogue))
        command: Callable[[argparse.Namespace, Shelf, str], int] = options.command
        return command(options, shelf, settings.model_pack)
    except BadInputError as error:
        return _fail(error.message, 2)
    except FacepipeError as error:
        return _fail(error.message, 1)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except ValidationError as error:
        problems = "; ".join(f"{'__'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return _fail(f"{problems}. See docs/reference/settings.md.", 1)
    except KeyboardInterrupt:
        return _fail("stopped; no pack was changed, and what was fetched is kept for the next time", 130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facepipe models", description="The model packs of this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, one document a line, for scripts")
    common.add_argument(
        "--catalogue",
        type=Path,
        default=CATALOGUE,
        metavar="FOLDER",
        help="another catalogue, such as your own mirror's",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listed = commands.add_parser("list", parents=[common], help="packs that are here or can be installed by name")
    listed.set_defaults(command=_list)

    installed = commands.add_parser("install", parents=[common], help="bring a pack in, by name or from a folder")
    installed.add_argument("name", nargs="?", help="the pack; with --from: the one the folder must hold")
    installed.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="a folder with the pack's files or archive"
    )
    installed.add_argument("--accept-license", action="store_true", help="you have read the licence and keep to it")
    installed.set_defaults(command=_install)

    verified = commands.add_parser("verify", parents=[common], help="check files and graphs against the manifests")
    verified.add_argument(
        "name", nargs="?", help="the pack; without: every one whose weights are here, and the active one"
    )
    verified.set_defaults(command=_verify)

    showed = commands.add_parser("show", parents=[common], help="everything about one pack")
    showed.add_argument("name", nargs="?", help="the pack; without: the active one")
    showed.set_defaults(command=_show)
    return parser


def _list(options: argparse.Namespace, shelf: Shelf, active: str) -> int:
    rows = list_packs(shelf, active)
    if options.json:
        for row in rows:
            _print_json(asdict(row))
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("", "pack", "state", "size", "embeddings", "commercial use", "what it is"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    for row in rows:
        table.add_row(
            "*" if row.is_active else "",
            row.name,
            f"[{_STATES[row.state]}]{row.state}[/]",
            f"{row.bytes / 1e6:.1f} MB",
            row.model_id or "",
            "yes" if row.commercial_use else "no",
            _plain(row.description),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    print("* is active: FACEPIPE_MODEL_PACK chooses it.")
    return 0


def _install(options: argparse.Namespace, shelf: Shelf, active: str) -> int:
    name: str | None = options.name
    if name is None and options.source is None:
        raise BadInputError(f"say which pack: {', '.join(sorted(shelf.catalogue))}, or --from FOLDER")
    here = shelf.find_complete(name) if name is not None else None
    if here is not None and options.source is None:
        return _already(options, here, active)
    if options.source is not None:
        offer = offer_from(shelf, options.source, name)
        here = shelf.find_complete(offer.manifest.name)
        if here is not None and here.manifest == offer.manifest:
            return _already(options, here, active)
    else:
        offer = offer_by_name(shelf, str(name), open_bar)
    _accept(offer.manifest, accepted=options.accept_license)
    try:
        directory = install(shelf, offer, open_bar, _note)
    except TransientError as error:
        raise TransientError(by_hand(shelf.catalogue[offer.manifest.name], error.message)) from error
    _report(options, offer, directory, shelf, active)
    return 0


def _already(options: argparse.Namespace, pack: Pack, active: str) -> int:
    if options.json:
        _print_json(_outcome(pack.manifest, pack.directory, changed=False, active=active))
    else:
        print(f"{pack.name} is here already, in {pack.directory}, and every file is as its manifest says.")
    return 0


def _accept(manifest: Manifest, *, accepted: bool) -> None:
    """Show the licence, and go on only with a yes.

    Raises:
        BadInputError: there is none.
    """
    licence = manifest.licence
    _note(f"Licence of {manifest.name}: {licence.name}")
    _note(f"  Commercial use: {'yes' if licence.commercial_use else 'NO'}. {licence.notice}")
    if accepted:
        return
    if not sys.stdin.isatty():
        raise BadInputError("nothing was installed: say --accept-license if you have read it and keep to it")
    sys.stderr.write("Do you accept it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise BadInputError("nothing was installed: the licence was not accepted")


def _report(options: argparse.Namespace, offer: Offer, directory: Path, shelf: Shelf, active: str) -> None:
    manifest = offer.manifest
    found = find_pack(manifest.name, shelf.search).directory
    if found.resolve() != directory.resolve():
        _note(f"Note: the server finds {manifest.name} in {found} first (FACEPIPE_MODELS_PATH).")
    if options.json:
        _print_json(_outcome(manifest, directory, changed=True, active=active))
        return
    print(f"Installed {manifest.name} {manifest.version} in {directory}: every file verified and tried.")
    if any(embedder.provisional for embedder in manifest.embedders):
        print("Its min_similarity is provisional: run `facepipe calibrate` on people of your own.")
    if manifest.name == active:
        print("It is the active pack: restart the stack to use it.")
    elif not manifest.embedders:
        print("Start the stack again to use it: see docs/howto/pictures.md.")
    else:
        print(f"To use it, set FACEPIPE_MODEL_PACK={manifest.name} and start the stack again.")


def _outcome(manifest: Manifest, directory: Path, *, changed: bool, active: str) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "model_id": next((embedder.model_id for embedder in manifest.embedders), None),
        "directory": str(directory),
        "changed": changed,
        "is_active": manifest.name == active,
        "provisional": any(embedder.provisional for embedder in manifest.embedders),
    }


def _verify(options: argparse.Namespace, shelf: Shelf, active: str) -> int:
    if options.name is not None:
        names = [options.name]
    else:
        complete = [row.name for row in list_packs(shelf, active) if row.state in ("installed", "broken")]
        names = sorted({*complete, active})
    problems = 0
    for name in names:
        problem = _find_problem(shelf, name)
        problems += problem is not None
        if options.json:
            _print_json({"name": name, "ok": problem is None, "problem": problem, "is_active": name == active})
        else:
            print(f"{name}: {'ok' if problem is None else f'FAILED: {problem}'}")
    return 1 if problems else 0


def _find_problem(shelf: Shelf, name: str) -> str | None:
    try:
        pack = find_pack(name, shelf.search)
        verify(pack)
        examine([(pack.path(file), file) for file in pack.manifest.files])
    except FacepipeError as error:
        return error.message
    return None


def _show(options: argparse.Namespace, shelf: Shelf, active: str) -> int:
    document = describe_pack(shelf, options.name or active, active)
    if options.json:
        _print_json(document)
    else:
        for line in as_lines(document):
            print(_plain(line))
    return 0


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, ensure_ascii=False), flush=True)


def _note(text: str) -> None:
    print(_plain(text), file=sys.stderr, flush=True)


def _plain(text: str) -> str:
    """The text without control characters: it may come from a stranger's manifest or file."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _fail(text: str, status: int) -> int:
    _note(f"facepipe: {text}")
    return status


if __name__ == "__main__":
    sys.exit(main())
