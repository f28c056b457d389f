"""Taking a gallery's archive into a server. It can be begun again at any point: what is there is not sent again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from facepipe.archive import Archive
from facepipe.client import Client
from facepipe.errors import (
    FacepipeError,
    OverloadedError,
    ServerUnreachableError,
    UnauthorizedError,
    UnavailableError,
)
from facepipe.side_by_side import run_side_by_side, send_in_pieces

#: Samples that are looked up in one request, and crops that are sent in one.
LOOKED_UP: Final = 200
SENT: Final = 16

_FIELDS: Final = ("id", "name", "external_id", "metadata")
_SAMPLE_FIELDS: Final = ("id", "det_score", "quality", "image_sha256", "crop_sha256", "embeddings")
_FATAL = (UnauthorizedError, OverloadedError, UnavailableError, ServerUnreachableError)


@dataclass(slots=True)
class Moved:
    """What became of one person.

    Attributes:
        member: of the archive.
        name: of the person, where it could be read.
        state: `imported`, `known` (everything was there) or `failed`.
        samples: stored now.
        damaged: ids of samples left out: their crops are damaged or missing.
        without_embedding: of the samples stored, those that a re-index must make searchable.
        reason: why it failed.
    """

    member: str
    name: str = ""
    state: str = "known"
    samples: int = 0
    damaged: list[str] = field(default_factory=list)
    without_embedding: int = 0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {one: getattr(self, one) for one in self.__slots__}


def move_in(
    client: Client, gallery: str, archive: Archive, *, parallel: int, progress: Callable[[int], None]
) -> Iterator[Moved]:
    """Send everybody of an archive to a gallery; outcomes as they come.

    Args:
        progress: told of people that are done.

    Raises:
        UnauthorizedError, UnavailableError, ServerUnreachableError, OverloadedError: the server refuses or stays away;
            a later run goes on from here.
    """

    def move(entry: tuple[str, dict[str, Any] | None]) -> Moved:
        member, subject = entry
        moved = Moved(member)
        if subject is None:
            moved.state, moved.reason = "failed", "it is damaged: its checksum does not hold, or it cannot be read"
        else:
            moved.name = str(subject.get("name"))
            try:
                _move(client, gallery, archive, subject, moved)
            except _FATAL:
                raise
            except FacepipeError as error:
                moved.state, moved.reason = "failed", error.message
        progress(1)
        return moved

    return run_side_by_side(archive.people(), move, parallel=parallel, key=lambda entry: entry[0])


def _move(client: Client, gallery: str, archive: Archive, subject: dict[str, Any], moved: Moved) -> None:
    about = {name: subject.get(name) for name in _FIELDS}
    samples: list[dict[str, Any]] = []
    for sample in subject["samples"]:
        if sample.get("crop_sha256"):
            samples.append({name: sample.get(name) for name in _SAMPLE_FIELDS})
        else:
            moved.damaged.append(sample["id"])
    for start in range(0, max(len(samples), 1), LOOKED_UP):
        piece = samples[start : start + LOOKED_UP]
        asked = [{name: value for name, value in sample.items() if name != "embeddings"} for sample in piece]
        answer = client.galleries.import_subject(gallery, {**about, "samples": asked})
        if answer.is_new:
            moved.state = "imported"
        missing = set(answer.missing)

        def send(batch: list[dict[str, Any]]) -> None:
            crops = []
            for sample in batch:
                crop = archive.crop(subject["id"], sample["id"])
                if crop is None:
                    moved.damaged.append(sample["id"])
                else:
                    crops.append((sample["id"], crop))
            if not crops:
                return
            told = {sample_id for sample_id, _ in crops}
            document = {**about, "samples": [sample for sample in batch if sample["id"] in told]}
            done = client.galleries.import_subject(gallery, document, crops)
            moved.samples += done.samples
            moved.without_embedding += done.without_embedding
            moved.state = "imported"

        send_in_pieces([sample for sample in piece if sample["id"] in missing], send, size=SENT)
