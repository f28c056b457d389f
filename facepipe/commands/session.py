"""What every command is given."""

import argparse
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facepipe.client import Client
from facepipe.console import Terminal

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = Any


class Session:
    """One run of the command line.

    Args:
        args: as parsed; what a command may read of it is what its parser defines.
        terminal: where to print.
    """

    def __init__(self, args: argparse.Namespace, terminal: Terminal) -> None:
        self.args = args
        self.terminal = terminal

    @cached_property
    def client(self) -> Client:
        """The server that was named. Raises ValueError for a malformed URL."""
        return Client(self.args.url, self.args.api_key)

    def close(self) -> None:
        """Close the connections, if any were made."""
        if "client" in self.__dict__:
            self.client.close()


def a_similarity(text: str) -> float:
    """An argument in [-1, 1]; NaN is refused."""
    value = float(text)
    if not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [-1, 1]")
    return value


def a_positive_number(text: str) -> float:
    """An argument above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def a_count(text: str) -> int:
    """An argument of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
