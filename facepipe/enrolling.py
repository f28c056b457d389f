"""Enrolling many people. A run that ended in the middle can be repeated: what the server has is not sent again.

Somebody is found again by the external id; without one by the name; and when no subject has the external id yet, by the
name among subjects that have none. Pictures are recognised by their bytes: one that the person has already is not sent.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from facepipe.client import Client
from facepipe.documents import AddedSamples, Subject
from facepipe.errors import (
    BadRequestError,
    ConflictError,
    FacepipeError,
    OverloadedError,
    ServerUnreachableError,
    UnauthorizedError,
    UnavailableError,
    UnusableImagesError,
)
from facepipe.roster import Person
from facepipe.side_by_side import run_side_by_side, send_in_pieces
from facepipe.transport import pause_s

#: Pictures in one request: few enough to be answered within seconds.
BATCH: Final = 8

_TRIES: Final = 5
_CHUNK_BYTES: Final = 1 << 20
_PASSING = (OverloadedError, UnavailableError, ServerUnreachableError)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A picture that was not enrolled, and why."""

    file: str
    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """For scripts."""
        return {"file": self.file, "code": self.code, "message": self.message}


@dataclass(slots=True)
class Outcome:
    """What became of one person.

    Attributes:
        state: `enrolled` (new), `added` (samples for somebody known), `known` (nothing was new) or `failed`.
        samples: stored now.
        known: pictures that the person had already.
        rejected: pictures refused.
        reason: why it failed.
    """

    person: Person
    state: str = "known"
    samples: int = 0
    known: int = 0
    rejected: list[Refusal] = field(default_factory=list)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "name": self.person.name,
            "external_id": self.person.external_id,
            "state": self.state,
            "samples": self.samples,
            "known": self.known,
            "rejected": [one.to_json() for one in self.rejected],
            "reason": self.reason,
        }


class Enroller:
    """See the module.

    Args:
        client: used by several threads.
        gallery: name of a gallery that is there.
        parallel: people worked on side by side.
        progress: told of pictures that are done, and whether they were sent.
        sleep: how to wait between tries.
    """

    def __init__(
        self,
        client: Client,
        gallery: str,
        *,
        parallel: int = 4,
        progress: Callable[[int, bool], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._gallery = gallery
        self._parallel = parallel
        self._progress = progress or (lambda _number, _is_work: None)
        self._sleep = sleep

    def run(self, people: Iterable[Person]) -> Iterator[Outcome]:
        """Outcomes as they come; of `people` no more are taken than are worked on.

        Raises:
            UnauthorizedError, UnavailableError, ServerUnreachableError, OverloadedError: the server refuses or stays
                away, as it would with everybody else; a later run goes on from here.
        """
        return run_side_by_side(people, self.enroll, parallel=self._parallel, key=lambda person: person.label)

    def enroll(self, person: Person) -> Outcome:
        """Enrol one person."""
        outcome = Outcome(person)
        try:
            subject = self._find(person)
            images = self._unknown(person, subject, outcome)
            for attempt in range(_TRIES):
                try:
                    self._send(person, subject, images, outcome)
                    break
                except _PASSING as error:
                    if attempt == _TRIES - 1:
                        raise
                    self._sleep(pause_s(attempt, error.retry_after_s))
                    # the answer may be what was lost: look again, and leave out what has arrived
                    subject = subject or self._find(person)
            if outcome.state == "known" and outcome.rejected and not outcome.known:
                outcome.state, outcome.reason = "failed", "no image has a usable face"
        except (UnauthorizedError, *_PASSING):
            raise
        except _AmbiguousNameError as error:
            outcome.state, outcome.reason = "failed", str(error)
        except (FacepipeError, OSError) as error:
            outcome.state, outcome.reason = "failed", str(error)
        return outcome

    def _find(self, person: Person) -> Subject | None:
        subjects = self._client.subjects
        if person.external_id is not None:
            for subject in subjects.list(self._gallery, external_id=person.external_id):
                return subject
        namesakes = list(subjects.list(self._gallery, name=person.name))
        if person.external_id is not None:
            namesakes = [subject for subject in namesakes if subject.external_id is None]
            return namesakes[0] if len(namesakes) == 1 else None
        if len(namesakes) > 1:
            raise _AmbiguousNameError(
                f"{len(namesakes)} subjects are called {person.name!r}; say which one by `external_id`"
            )
        return namesakes[0] if namesakes else None

    def _unknown(self, person: Person, subject: Subject | None, outcome: Outcome) -> list[Path]:
        """The pictures to send: those that the subject does not have, each once."""
        seen = set() if subject is None else self._known_images(subject)
        images = []
        for path in person.images:
            try:
                digest = _sha256(path)
            except OSError as error:
                outcome.rejected.append(Refusal(path.name, "unreadable", error.strerror or str(error)))
                self._progress(1, False)
                continue
            if digest in seen:
                outcome.known += 1
                self._progress(1, False)
            else:
                images.append(path)
            if path.stat().st_size:  # every empty file is refused by name
                seen.add(digest)
        return images

    def _known_images(self, subject: Subject) -> set[str]:
        samples = self._client.subjects.samples(self._gallery, subject.id)
        return {sample.image_sha256 for sample in samples if sample.image_sha256}

    def _send(self, person: Person, subject: Subject | None, images: list[Path], outcome: Outcome) -> None:
        """Send `images`, taking out of the list what is answered."""
        known = subject.id if subject else None

        def send(batch: list[Path]) -> None:
            nonlocal known
            try:
                answer: AddedSamples
                if known is None:
                    answer = enrolled = self._client.subjects.enroll(
                        self._gallery,
                        person.name,
                        batch,
                        external_id=person.external_id,
                        metadata=person.metadata or None,
                    )
                    known, outcome.state = enrolled.id, "enrolled"
                else:
                    answer = self._client.subjects.add_samples(self._gallery, known, batch)
                self._take(answer, outcome)
            except UnusableImagesError as error:
                outcome.rejected += [Refusal(one["file"], one["code"], one["message"]) for one in error.rejected]
            except ConflictError:
                # another run, or a try whose answer was lost, has just made the subject
                found = None if known else self._find(person)
                if found is None:
                    raise
                known = found.id
                self._take(self._client.subjects.add_samples(self._gallery, known, batch), outcome)
            except BadRequestError as error:
                if error.code != "too_large" or len(batch) > 1:
                    raise
                outcome.rejected.append(Refusal(batch[0].name, error.code, error.message))
            self._progress(len(batch), True)
            del images[: len(batch)]

        send_in_pieces(list(images), send, size=BATCH)

    @staticmethod
    def _take(answer: AddedSamples, outcome: Outcome) -> None:
        outcome.samples += len(answer.samples)
        outcome.known += len(answer.duplicates)
        outcome.rejected += [Refusal(image.file, image.code, image.message) for image in answer.rejected]
        if answer.samples and outcome.state == "known":
            outcome.state = "added"


class _AmbiguousNameError(Exception):
    """Several subjects have the name."""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
