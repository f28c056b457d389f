"""Front door: `python -m deploy.compat NAME …`; `facepipe compat` starts it. The programs of older projects."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

#: Name to the module whose `main(argv)` it is, and what it does.
PROGRAMS: Final[Mapping[str, tuple[str, str]]] = {
    "processor": ("deploy.gnosis.processor", "001: find or recognise the faces of a picture or a camera"),
    "encoder": ("deploy.gnosis.encoder", "001: make a data set of people's faces"),
    "capture": ("deploy.gnosis.capture", "001: save pictures of people from the camera"),
    "gnosis": ("deploy.gnosis.serve", "001: the service, by its own .env file"),
    "init-db": ("api.compat.face_table.init_db", "002 and 003: prepare the table of faces"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of the program; 2 for a name that is none."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in PROGRAMS:
        module, _ = PROGRAMS[arguments[0]]
        program: Callable[[Sequence[str]], int] = importlib.import_module(module).main
        return program(arguments[1:])
    is_help = arguments in (["-h"], ["--help"])
    lines = ["usage: facepipe compat NAME …", "", "Programs of older projects (docs/coming-from.md):"]
    lines += [f"  {name:<10} {text}" for name, (_, text) in PROGRAMS.items()]
    print("\n".join(lines), file=sys.stdout if is_help else sys.stderr)
    return 0 if is_help else 2


if __name__ == "__main__":
    sys.exit(main())
