"""A stream of jobs that does not end before it is told to."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar

from facepipe import Client
from facepipe.errors import FacepipeError
from tests.chaos.media import Medium

GALLERY = "crew"
SAMPLE_FPS = 10.0

_MOST_OPEN = 5
_PATIENCE_S = 120.0
_PASSING = frozenset({None, 429, 502, 503})
_PAUSE_S = 0.1

Given = TypeVar("Given")


class Load:
    """Submits media in an order that the seed decides, a few at a time.

    Args:
        jobs: submit at least so many.
    """

    def __init__(self, client: Client, media: Sequence[Medium], *, seed: int, jobs: int) -> None:
        self._client = client
        self._media = list(media)
        self._random = random.Random(seed)
        self._jobs = jobs
        self._enough = threading.Event()
        self.submitted: list[tuple[Medium, str]] = []

    def end(self) -> None:
        """No more than the least number of jobs from now on."""
        self._enough.set()

    def run(self) -> None:
        """Until `end` was called and there are jobs enough."""
        coming: list[Medium] = []
        while len(self.submitted) < self._jobs or not self._enough.is_set():
            if self._open() >= _MOST_OPEN:
                time.sleep(_PAUSE_S)
                continue
            if not coming:
                coming = self._random.sample(self._media, len(self._media))
            medium = coming.pop()
            self.submitted.append((medium, submit(self._client, medium)))

    def _open(self) -> int:
        return sum(not patiently(lambda: self._client.jobs.get(job_id)).is_final for _, job_id in self.submitted[-20:])  # noqa: B023


def submit(client: Client, medium: Medium) -> str:
    """Submit until it is accepted, always with the same key, and give the job's id."""
    key = uuid.uuid4().hex
    return patiently(
        lambda: client.jobs.submit(medium.path, gallery=GALLERY, sample_fps=SAMPLE_FPS, idempotency_key=key).id
    )


def patiently(call: Callable[[], Given]) -> Given:
    """Try again what failed because a part of the stack was away; any other error is one."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except FacepipeError as error:
            if error.status not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
