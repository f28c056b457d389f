"""Front door: `facepipe compat gnosis`. The service of predecessor 001 by its own `.env`: what `python run.py` was.

It becomes the whole stack, `deploy.up`, with the routes of 001 on SERVER_PORT. FACEPIPE_… variables still hold.
"""

import argparse
import ipaddress
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from common.errors import BadInputError
from deploy.gnosis.front import a_device, note, run_program

_DEFAULTS: Final = {
    "SERVER_IP": "127.0.0.1",
    "SERVER_PORT": "5000",
    "DETECTOR_LOAD_DEVICE": "-1",
    "RECOGNIZER_LOAD_DEVICE": "-1",
    "SERVER_SSL_CONTEXT": "",
    "SERVER_SSL_KEYFILE": "",
    "LOGGER_LEVEL": "INFO",
    "ENV": "production",
}
_LEVELS: Final = ("debug", "info", "warning", "error")


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file; none where there is no file.

    Raises:
        BadInputError: a line is no `NAME=value`.
    """
    if not path.exists():
        return {}
    found = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        try:
            words = shlex.split(value, comments=True)
        except ValueError as error:
            raise BadInputError(f"{path}, line {number}: {error}.") from error
        if not equals or not name.strip().isidentifier() or len(words) > 1:
            raise BadInputError(f"{path}, line {number}: {text!r} is no NAME=value.")
        found[name.strip()] = words[0] if words else ""
    return found


def translate(variables: Mapping[str, str]) -> dict[str, str]:
    """The original's variables as those of facepipe; one that is missing or empty has its default.

    Raises:
        BadInputError: a value cannot be understood; names the variable.
    """
    values = {name: variables.get(name, "").strip() or default for name, default in _DEFAULTS.items()}
    port = values["SERVER_PORT"]
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise BadInputError(f"SERVER_PORT={port} is no port.")
    level = values["LOGGER_LEVEL"].lower()
    if level not in _LEVELS:
        raise BadInputError(f"LOGGER_LEVEL={values['LOGGER_LEVEL']} is none of {', '.join(_LEVELS).upper()}.")
    env = {
        "FACEPIPE_COMPAT": "001",
        "FACEPIPE_COMPAT_PORTS": f"001={port}",
        "FACEPIPE_HOST": values["SERVER_IP"],
        "FACEPIPE_DETECT__DEVICE": _device("DETECTOR_LOAD_DEVICE", values),
        "FACEPIPE_EMBED__DEVICE": _device("RECOGNIZER_LOAD_DEVICE", values),
        "FACEPIPE_LOG_LEVEL": level,
    }
    if values["SERVER_SSL_CONTEXT"] or values["SERVER_SSL_KEYFILE"]:
        env["FACEPIPE_COMPAT_CERTIFICATE"] = values["SERVER_SSL_CONTEXT"]
        env["FACEPIPE_COMPAT_CERTIFICATE_KEY"] = values["SERVER_SSL_KEYFILE"]
    if not _is_loopback(values["SERVER_IP"]):
        env["FACEPIPE_COMPAT_OPEN"] = "true"
    return env


def main(argv: Sequence[str] | None = None) -> int:
    """See the module; does not return once the stack starts."""
    parser = argparse.ArgumentParser(
        prog="facepipe compat gnosis", description="Serve the routes of gnosis-recognizer-service by its own .env file."
    )
    parser.add_argument(
        "--env-file", type=Path, default=Path(".env"), metavar="FILE", help="default: .env in this folder"
    )
    options = parser.parse_args(argv)
    return run_program(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    variables = {
        **read_env_file(options.env_file),
        **{name: os.environ[name] for name in _DEFAULTS if name in os.environ},
    }
    env = translate(variables)
    if "FACEPIPE_COMPAT_OPEN" in env:
        note(
            f"SERVER_IP={env['FACEPIPE_HOST']} is beyond this machine, and these routes know no keys: whoever reaches"
            f" port {env['FACEPIPE_COMPAT_PORTS'].removeprefix('001=')} may use them."
        )
    os.execve(sys.executable, [sys.executable, "-m", "deploy.up"], {**env, **os.environ})  # noqa: S606 - no shell wanted


def _device(name: str, values: Mapping[str, str]) -> str:
    try:
        return a_device(values[name])
    except argparse.ArgumentTypeError as error:
        raise BadInputError(f"{name}: {error}.") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
