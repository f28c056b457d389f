"""Faces of a picture on the disk: asked of a running stack, or found in this process where none runs."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.settings import Settings
from deploy.gnosis.in_process import InProcess
from deploy.gnosis.on_stack import OnStack
from deploy.home import Home
from facepipe.client import Client


@dataclass(frozen=True, slots=True)
class Devices:
    """Where the networks run: `cpu` or `cuda:<n>`. None leaves it to the settings, and to a running stack."""

    detector: str | None = None
    recogniser: str | None = None

    @property
    def are_chosen(self) -> bool:
        """Whether the person said where, which only holds for networks of this process."""
        return self.detector is not None or self.recogniser is not None


class Analyser(Protocol):
    """See the module.

    Attributes:
        label: for people, who does the work.
    """

    label: str

    def find(self, picture: Path, *, embed: bool) -> Sequence[dict[str, Any]]:
        """The faces of a picture, best first, as `common.stage.answers` describes them.

        Args:
            embed: whether they have embeddings too.

        Raises:
            BadInputError: it is no picture.
        """

    @property
    def above(self) -> float:
        """The cosine above which a row of a data set votes; known after the first picture."""


@contextmanager
def open_analyser(settings: Settings, devices: Devices) -> Iterator[Analyser]:
    """The stack at FACEPIPE_URL, or the one that runs on FACEPIPE_HOME; else, or with devices chosen, this process.

    Raises:
        ConfigurationError: the pack is missing or broken, or a device is not there.
    """
    url = os.environ.get("FACEPIPE_URL")
    if not url and (stack := Home(settings.home).running()) is not None:
        url = stack.api_url
    if devices.are_chosen or not url:
        yield InProcess(_on(settings, devices))
        return
    with Client(url) as client:
        yield OnStack(client, settings)


def _on(settings: Settings, devices: Devices) -> Settings:
    detect = settings.detect.model_copy(update={"device": devices.detector or settings.detect.device})
    embed = settings.embed.model_copy(update={"device": devices.recogniser or settings.embed.device})
    return settings.model_copy(update={"detect": detect, "embed": embed})
