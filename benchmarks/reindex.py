"""`python -m benchmarks.reindex`: a large gallery moves to another model while it is searched and its pools are killed.

People of a folder tree (`<person>/<picture>`) or tar archive are enrolled through the API, one picture each, those with
more keep one as a probe. Then the gallery is re-indexed while searches run without a pause; the embed and the match
pool are killed at random points. Reported: searches, failures and mixtures among them, their latency before and
during, the rate of the re-index, how many are matched differently, agreement with a gallery that was enrolled from
scratch in the new model, and whether the rollback gave every answer back.
"""

import argparse
import json
import os
import random
import signal
import statistics
import tarfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from common.settings import Settings
from deploy.child import children_of
from deploy.demo.stack import running_stack
from deploy.home import Home
from facepipe import Client
from facepipe.errors import FacepipeError, UnusableImagesError

GALLERY, FRESH = "reindex-bench", "reindex-bench-fresh"
LIMIT = 5
Answer = tuple[str | None, tuple[tuple[str, float], ...]]


def read_people(source: Path, folder: Path, subjects: int) -> dict[str, list[Path]]:
    """Person to at most two pictures, of the first so many people."""
    if source.is_dir():
        found = {one.name: sorted(one.iterdir())[:2] for one in sorted(source.iterdir()) if one.is_dir()}
        return dict(list(found.items())[:subjects])
    people: dict[str, list[Path]] = {}
    with tarfile.open(source) as tar:
        for member in tar:
            person, _, picture = member.name.rpartition("/")
            if not picture or not member.isfile():
                continue
            if person not in people and len(people) == subjects:
                break
            if len(people.setdefault(person, [])) < 2:
                tar.extract(member, folder, filter="data")
                people[person].append(folder / member.name)
    return people


def enrol(client: Client, gallery: str, people: dict[str, list[Path]], say: Any) -> int:
    """One picture each, where it has one usable face; how many were refused."""
    done = refused = 0
    began = time.monotonic()

    def one(item: tuple[str, list[Path]]) -> bool:
        try:
            client.subjects.enroll(gallery, item[0], item[1][:1], external_id=item[0])
        except UnusableImagesError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        for is_in in pool.map(one, people.items()):
            done += 1
            refused += not is_in
            if done % 100 == 0:
                say(f"{gallery}: {done} of {len(people)}, {done / (time.monotonic() - began):.1f}/s")
    return refused


def search(client: Client, gallery: str, picture: Path) -> Answer:
    """Model and candidates of the largest face."""
    found = client.search(gallery, picture, min_similarity=-1.0, limit=LIMIT)
    if not found.faces:
        return found.model_id, ()
    face = min(found.faces, key=lambda face: face.box[0] - face.box[2])
    return found.model_id, tuple((one.name or "", one.similarity) for one in face.candidates)


def _best(answer: Answer) -> str | None:
    return answer[1][0][0] if answer[1] else None


class Searcher(threading.Thread):
    """Searches probe after probe until it is stopped."""

    def __init__(self, url: str, probes: Sequence[Path]) -> None:
        super().__init__(daemon=True)
        self._client = Client(url)
        self._probes = probes
        self._stopping = threading.Event()
        self.answers: list[tuple[int, Answer, float]] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """Until `stop`."""
        number = 0
        while not self._stopping.is_set():
            probe = number % len(self._probes)
            number += 1
            began = time.perf_counter()
            try:
                answer = search(self._client, GALLERY, self._probes[probe])
                self.answers.append((probe, answer, time.perf_counter() - began))
            except FacepipeError as error:
                self.failures.append(str(error))

    def stop(self) -> None:
        """End after the search under way."""
        self._stopping.set()
        self.join()


def kill(home: Path, stage: str) -> None:
    """SIGKILL the pool of a stage; the launcher starts another."""
    stack = Home(home).running()
    if stack is None:
        raise SystemExit("the stack is gone")
    for pid in children_of(stack.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        if f"-Q {stage} " in command:
            os.kill(pid, signal.SIGKILL)


def move(client: Client, home: Path, model: str, points: list[float], say: Any) -> tuple[Any, float]:
    """Re-index, with a kill at each of these fractions of its progress; the job and its seconds."""
    began = time.monotonic()
    job = client.bulk.reindex(GALLERY, model, priority="normal")
    while not (now := client.jobs.get(job.id)).is_final:
        if points and now.progress.fraction >= points[0]:
            points.pop(0)
            for stage in ("embed", "match"):
                kill(home, stage)
            say(f"killed embed and match at {now.progress.fraction:.0%}")
        time.sleep(0.1)
    return now, time.monotonic() - began


def quantiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p95."""
    cuts = statistics.quantiles(seconds, n=20) if len(seconds) > 1 else [*seconds] * 19
    return round(statistics.median(seconds) * 1000, 1), round(cuts[18] * 1000, 1)


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reindex", description=__doc__)
    parser.add_argument("people", type=Path, help="folder of a folder a person, or a tar archive of one")
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--model", default="reference", help="pack to move to (default: reference)")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--probes", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    console = Console()
    home = Settings().home / "bench" / "reindex"
    people = read_people(asked.people, home / "people", asked.subjects)
    probes = [pictures[1] for pictures in people.values() if len(pictures) > 1][: asked.probes]
    with running_stack(home / "stack", console.print) as url, Client(url, timeout_s=600) as client:
        for gallery in client.galleries.list():
            client.galleries.delete(gallery.name)
        client.galleries.create(GALLERY)
        refused = enrol(client, GALLERY, people, console.print)
        before = [search(client, GALLERY, probe) for probe in probes]
        calm = Searcher(url, probes)
        calm.start()
        time.sleep(10)
        calm.stop()
        busy = Searcher(url, probes)
        busy.start()
        chance = random.Random(asked.seed)
        points = sorted(chance.uniform(0.1, 0.9) for _ in range(asked.kills))
        job, seconds = move(client, home / "stack", asked.model, points, console.print)
        busy.stop()
        if job.state != "succeeded":
            raise SystemExit(f"the re-index ended {job.state}: {job.error}")
        after = [search(client, GALLERY, probe) for probe in probes]
        mixed = sum(answer not in (before[probe], after[probe]) for probe, answer, _ in busy.answers)
        client.galleries.create(FRESH, model=asked.model)
        enrol(client, FRESH, people, console.print)
        fresh = [search(client, FRESH, probe) for probe in probes]
        agreeing = sum(_best(mine) == _best(other) for mine, other in zip(after, fresh, strict=True))
        client.jobs.wait(client.bulk.rollback(GALLERY).id)
        restored = sum(search(client, GALLERY, probe) == was for probe, was in zip(probes, before, strict=True))
    figures = {
        "subjects": len(people) - refused,
        "kills": asked.kills,
        "reindex_s": round(seconds, 1),
        "samples_per_s": round(job.report["samples"]["embedded"] / seconds, 1),
        "matched_differently": job.report["samples"]["changed"],
        "searches": len(busy.answers),
        "failed": len(busy.failures),
        "mixed": mixed,
        "search_ms_before": quantiles_ms([taken for *_, taken in calm.answers]),
        "search_ms_during": quantiles_ms([taken for *_, taken in busy.answers]),
        "best_candidate_as_from_scratch": f"{agreeing} of {len(probes)}",
        "restored_by_rollback": f"{restored} of {len(probes)}",
    }
    table = Table("what", "value", title=f"re-index of {figures['subjects']} subjects to {asked.model}")
    for name, value in figures.items():
        table.add_row(name, str(value))
    console.print(table)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
