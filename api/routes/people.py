"""Unknown people: strangers who came back, to be looked at, corrected and named."""

from flask import Response, g

from api.documents.people import FootageAppearance, NamedPerson, Person, PersonAppearancePage, PersonPage
from api.documents.shapes import page_of
from api.naming import name_person
from api.operations import Audited, Body, Routes
from api.routes.pictures import jpeg
from api.schemas import PageQuery, PeopleQuery, PersonMerge, PersonName
from api.services import services

routes = Routes("people")

_PERSON = "/v1/people/{person}"


@routes.get("/v1/people", query=PeopleQuery, answer=PersonPage)
def list_people(query: PeopleQuery) -> PersonPage:
    """List the unknown people, most seen first or last seen first."""
    page = services().people.list(order=query.order, min_jobs=query.min_jobs, cursor=query.cursor, limit=query.limit)
    return PersonPage(**page_of(page, Person.from_row))


@routes.get(_PERSON, answer=Person, errors=("not_found",))
def get_person(person: str) -> Person:
    """Look at an unknown person."""
    return Person.from_row(services().people.get(person))


@routes.get(_PERSON + "/appearances", query=PageQuery, answer=PersonAppearancePage, errors=("not_found",))
def list_person_appearances(person: str, query: PageQuery) -> PersonAppearancePage:
    """Every appearance of an unknown person in any job, newest job first."""
    here = services()
    page = here.people.appearances(
        person, max_gap_ms=here.settings.match.max_gap_ms, cursor=query.cursor, limit=query.limit
    )
    return PersonAppearancePage(**page_of(page, FootageAppearance.from_row))


@routes.get(_PERSON + "/thumbnail.jpg", media_types=("image/jpeg",), errors=("not_found",))
def get_person_thumbnail(person: str) -> Response:
    """A picture of an unknown person, from the track that shows it best."""
    here = services()
    row = here.people.get(person)
    return jpeg(here.blobs, f"jobs/{row['job_id']}/tracks/{row['track']}.thumb.jpg")


@routes.post(
    _PERSON + "/name",
    body=Body(json=PersonName),
    answer=NamedPerson,
    status=201,
    errors=("not_found", "conflict", "model_mismatch", "too_large", "unsupported_media_type"),
    audit=Audited("name_person"),
)
def give_person_name(person: str, body: PersonName) -> NamedPerson:
    """Say who an unknown person is.

    Enrols it in a gallery from the best pictures of its tracks, and starts a job that decides anew who is seen in the
    jobs concerned: those that searched this gallery, or none.
    """
    return name_person(services(), person, body, owner=g.owner)


@routes.post(
    _PERSON + "/merge",
    body=Body(json=PersonMerge),
    answer=Person,
    errors=("not_found", "conflict", "model_mismatch", "too_large", "unsupported_media_type"),
)
def merge_person(person: str, body: PersonMerge) -> Person:
    """Give all tracks of an unknown person to another, who is the same; answers with the latter."""
    return Person.from_row(services().people.merge(person, str(body.into)))


@routes.delete(_PERSON + "/tracks/{job}/{track}", answer=Person, errors=("not_found", "conflict"))
def split_person(person: str, job: str, track: int) -> Person:
    """Take a track that shows somebody else out of a person; it becomes a new person, which is the answer."""
    return Person.from_row(services().people.split(person, job, track))
