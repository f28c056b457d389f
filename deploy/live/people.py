"""What is told of one looked-at picture: who is there, and what was counted since the beginning."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from facepipe.console import count
from facepipe.documents import Face, Faces
from facepipe.pace import time_left

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sight:
    """One picture that was looked at.

    Attributes:
        number: of the picture among those looked at, from 1.
        taken_at: when it arrived.
        skipped: pictures that gave way to newer ones so far.
        is_search: whether faces were searched for in a gallery.
    """

    number: int
    taken_at: datetime
    skipped: int
    found: Faces
    is_search: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Who is there, one name a face; empty where nobody was searched for."""
        return tuple(_name(face) for face in self.found.faces) if self.is_search else ()

    @property
    def presence(self) -> tuple[object, ...]:
        """Changes exactly when somebody comes or goes."""
        return tuple(sorted(self.names)) if self.is_search else (len(self.found.faces),)

    def text(self) -> str:
        """`Anna (0.71), unknown`, or how many faces there are, or nobody."""
        faces = self.found.faces
        if not faces:
            return "nobody"
        if not self.is_search:
            return count(len(faces), "face")
        return ", ".join(
            f"{_name(face)} ({face.candidates[0].similarity:.2f})" if face.candidates else UNKNOWN for face in faces
        )

    def to_json(self) -> dict[str, Any]:
        """The line of `--json`."""
        return {
            "frame": self.number,
            "time": self.taken_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "faces": [self._face(face) for face in self.found.faces],
            "skipped": self.skipped,
        }

    def _face(self, face: Face) -> dict[str, Any]:
        document: dict[str, Any] = {"box": list(face.box), "det_score": face.det_score}
        if self.is_search:
            best = face.candidates[0] if face.candidates else None
            document |= {
                "name": best.name if best else None,
                "subject_id": best.subject_id if best else None,
                "similarity": best.similarity if best else None,
            }
        return document


class Tally:
    """Counts sights."""

    def __init__(self, began_at: datetime) -> None:
        self._began_at = began_at
        self.pictures = 0
        self._seen: Counter[str] = Counter()

    def add(self, sight: Sight) -> None:
        """Count one."""
        self.pictures += 1
        self._seen.update(set(sight.names) or ({"faces"} if sight.found.faces else ()))

    def pace(self, now: datetime) -> float:
        """Pictures looked at per second."""
        elapsed_s = (now - self._began_at).total_seconds()
        return self.pictures / elapsed_s if elapsed_s > 0 else 0.0

    def summary(self, now: datetime, *, skipped: int, opened: int) -> str:
        """`0:01:23: 512 pictures looked at (6.2/s), 1032 skipped, source opened twice; seen: Anna in 310, …`."""
        elapsed_s = (now - self._began_at).total_seconds()
        parts = [
            f"{count(self.pictures, 'picture')} looked at ({self.pace(now):.1f}/s)",
            f"{skipped} skipped",
            f"source opened {count(opened, 'time')}",
        ]
        seen = self._listed(self._seen.most_common())
        return f"{time_left(elapsed_s)}: {', '.join(parts)}; {f'seen: {seen}' if seen else 'no face was seen'}."

    @staticmethod
    def _listed(seen: Iterable[tuple[str, int]]) -> str:
        return ", ".join(f"{name} in {number}" for name, number in seen)


def _name(face: Face) -> str:
    if not face.candidates:
        return UNKNOWN
    return face.candidates[0].name or face.candidates[0].subject_id
