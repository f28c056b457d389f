"""One run: the truth from an undisturbed pass, then the same media under faults, then the count of what is left."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from facepipe import Client
from tests.acceptance.answers import Answer, answer_of
from tests.chaos.faults import FAULTS, Recovery
from tests.chaos.house import House
from tests.chaos.load import GALLERY, Load, patiently, submit
from tests.chaos.media import Medium, make_media

END_S = 420.0
"""How long the last jobs may take after the last fault."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run.

    Attributes:
        jobs: how many were submitted under faults.
        recoveries: in the order of the faults.
        wrong: every broken promise, in words; empty when all were kept.
    """

    jobs: int
    recoveries: list[Recovery]
    wrong: list[str]


def run(folder: Path, *, seed: int, jobs: int, faults: Sequence[str], say: Callable[[str], None]) -> Report:
    """Launch a stack below `folder`, disturb it, and judge it.

    Args:
        seed: decides the order of jobs and faults.
        jobs: under faults at least; more when the faults last longer.
        faults: keys of `FAULTS`.
        say: told what happens.
    """
    media, people = make_media(folder / "media")
    order = random.Random(seed).sample(list(faults), len(faults))
    house = House(folder)
    try:
        house.client.galleries.create(GALLERY)
        for person in people[:3]:
            house.client.subjects.enroll(GALLERY, person.name, [folder / "media" / "people" / person.name / "1.jpg"])
        truth = _undisturbed(house.client, media)
        say(f"undisturbed: {', '.join(f'{name} {answer[0]}' for name, answer in truth.items())}")
        load = Load(house.client, media, seed=seed, jobs=jobs)
        recoveries = []
        with ThreadPoolExecutor(1) as thread:
            loading = thread.submit(load.run)
            try:
                for name in order:
                    recoveries.append(FAULTS[name](house))
                    say(describe(recoveries[-1]))
            finally:
                load.end()
            loading.result()
        return Report(len(load.submitted), recoveries, _judge(house, truth, load.submitted))
    finally:
        house.close()


def describe(recovery: Recovery) -> str:
    """One line of the table."""
    noticed = "" if recovery.noticed_s is None else f"{recovery.noticed_s:.2f}"
    return f"{recovery.fault:<18} {recovery.hit:<16} {noticed:>9} {recovery.recovered_s:>11.2f}"


HEAD = f"{'fault':<18} {'hit':<16} {'noticed s':>9} {'recovered s':>11}"


def _undisturbed(client: Client, media: Sequence[Medium]) -> dict[str, Answer]:
    truth = {}
    for medium in media:
        job = client.jobs.wait(submit(client, medium), timeout_s=END_S)
        if job.state != medium.ends:
            raise RuntimeError(f"{medium.name} should end {medium.ends}, and is {job.state}: {job.error}")
        truth[medium.name] = answer_of(client, job.id)
    return truth


def _judge(house: House, truth: dict[str, Answer], submitted: Sequence[tuple[Medium, str]]) -> list[str]:
    wrong = []
    for medium, job_id in submitted:
        job = patiently(lambda job_id=job_id: house.client.jobs.wait(job_id, timeout_s=END_S))  # type: ignore[misc]
        answer = answer_of(house.client, job_id)
        if answer != truth[medium.name]:
            wrong.append(
                f"job {job_id} of {medium.name} is {job.state} ({job.error}): {_difference(answer, truth[medium.name])}"
            )
    rows = house.read(lambda cursor: cursor.execute("select count(*) as jobs from jobs"))
    if rows[0]["jobs"] != len(submitted) + len(truth):
        wrong.append(f"{rows[0]['jobs']} jobs are stored, {len(submitted) + len(truth)} were accepted")
    return wrong + house.leftovers()


def _difference(answer: Answer, truth: Answer) -> str:
    names = ("state", "error", "frames", "faces", "detections", "tracks", "appearances")
    return ", ".join(name for name, one, other in zip(names, answer, truth, strict=True) if one != other) + " differ"
