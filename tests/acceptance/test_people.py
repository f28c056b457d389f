"""Somebody seen before anybody knew the name: found by a picture, named, and then named in the past as well."""

from pathlib import Path

import pytest

from facepipe import Client
from tests.acceptance.conftest import LaunchedStack


@pytest.fixture
def client(stack: LaunchedStack) -> Client:
    return Client(stack.url)


def test_a_stranger_in_footage_is_found_and_named_afterwards(client: Client, shared_dir: Path) -> None:
    frame = shared_dir / "data" / "tae-frame-00180.jpg"
    job = client.jobs.submit(shared_dir / "data" / "tae.mp4", sample_fps=2)
    client.galleries.create("regulars")
    try:
        assert client.jobs.wait(job.id).state == "succeeded"
        (seen,) = [one for one in client.jobs.appearances(job.id) if one.end_ms - one.start_ms > 8000]
        assert (seen.name.split()[0], seen.subject_id) == ("unknown", None)
        found = client.search_footage(frame)
        best = found.items[0]
        assert (best.job_id, best.person_id, best.subject_id) == (job.id, seen.person_id, None)
        assert best.similarity is not None
        assert best.similarity > 0.6
        assert (found.items[0].start_ms, max(one.end_ms for one in found.items)) == (seen.start_ms, seen.end_ms)
        assert client.search_footage(frame, until="2020-01-01T00:00:00Z").items == ()

        person = client.people.get(best.person_id or "")
        assert person.jobs == 1
        assert client.people.thumbnail(person).startswith(b"\xff\xd8\xff")
        named = client.people.name(person.id, "regulars", "Tae")
        assert named.rematch_job_id is not None
        assert client.jobs.wait(named.rematch_job_id).state == "succeeded"
        (after,) = [one for one in client.jobs.appearances(job.id) if one.name == "Tae"]
        assert (after.start_ms, after.end_ms, after.subject_id) == (seen.start_ms, seen.end_ms, named.subject.id)
        assert client.search_footage(frame).items[0].name == "Tae"
    finally:
        client.jobs.delete(job.id)
        client.galleries.delete("regulars")
