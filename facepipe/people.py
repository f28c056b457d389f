"""Unknown people, and where a face was ever seen."""

from collections.abc import Iterator, Mapping
from typing import Any

from facepipe.documents import FootageAppearance, NamedPerson, Person
from facepipe.paging import items_of
from facepipe.transport import Transport, path_of


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
