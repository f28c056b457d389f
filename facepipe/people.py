"""Unknown people, and where a face was ever seen."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from facepipe.documents import Footage, FootageAppearance, NamedPerson, Person
from facepipe.paging import items_of
from facepipe.transport import Transport, path_of
from facepipe.uploads import ImageSource, Upload


class People:
    """`client.people`: strangers who were seen in one or more jobs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, order: str = "most_seen", min_jobs: int = 1) -> Iterator[Person]:
        """Unknown people.

        Args:
            order: "most_seen" or "last_seen" first.
            min_jobs: only people seen in so many jobs.
        """
        query: dict[str, str | int | float] = {"order": order, "min_jobs": min_jobs}
        return map(Person.from_wire, items_of(self._transport, path_of("people"), query))

    def get(self, person_id: str) -> Person:
        """One person. Raises NotFoundError."""
        return Person.from_wire(self._transport.call("GET", path_of("people", person_id)))

    def appearances(self, person_id: str) -> Iterator[FootageAppearance]:
        """Where a person is seen, newest job first."""
        path = path_of("people", person_id, "appearances")
        return map(FootageAppearance.from_wire, items_of(self._transport, path))

    def thumbnail(self, person: Person) -> bytes:
        """The JPEG that shows a person best."""
        return self._transport.fetch(person.thumbnail_url)

    def name(
        self,
        person_id: str,
        gallery: str,
        name: str,
        *,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> NamedPerson:
        """Say who a person is: enrols it, and starts the job that puts the name into past answers.

        Raises:
            ConflictError: the person has a name, the external id is taken, or the gallery has another model.
        """
        body = {"gallery": gallery, "name": name, "external_id": external_id, "metadata": metadata}
        wire = {name: value for name, value in body.items() if value is not None}
        return NamedPerson.from_wire(self._transport.call("POST", path_of("people", person_id, "name"), json=wire))

    def merge(self, person_id: str, into: str) -> Person:
        """Give all tracks of a person to another, who is the same; gives the latter."""
        path = path_of("people", person_id, "merge")
        return Person.from_wire(self._transport.call("POST", path, json={"into": into}))

    def split(self, person_id: str, job_id: str, track: int) -> Person:
        """Take a track that shows somebody else out of a person; gives the new person that it is."""
        path = path_of("people", person_id, "tracks", job_id, str(track))
        return Person.from_wire(self._transport.call("DELETE", path, is_idempotent=False))


def search_footage(
    transport: Transport,
    image: ImageSource,
    *,
    min_similarity: float | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    gallery: str | None = None,
    model: str | None = None,
    limit: int | None = None,
) -> Footage:
    """See `Client.search_footage`."""
    options = {
        "min_similarity": None if min_similarity is None else repr(float(min_similarity)),
        "since": since.isoformat() if isinstance(since, datetime) else since,
        "until": until.isoformat() if isinstance(until, datetime) else until,
        "gallery": gallery,
        "model": model,
        "limit": None if limit is None else str(limit),
    }
    form = {name: value for name, value in options.items() if value is not None}
    answer = transport.call(
        "POST", path_of("footage", "search"), form=form, upload=Upload([("image", image)]), is_idempotent=True
    )
    return Footage.from_wire(answer)
