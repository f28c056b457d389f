"""`make bench-gallery`: one probe and 64 together, in synthetic galleries; benchmarks/README.md says what counts."""

import argparse
import itertools
import json
import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.gallery.crowd import Float16s, make_probes, make_references, store
from benchmarks.gallery.ways import Facepipe, FaissFlat, NumpyHalves, Way, find_faiss, truth
from common.store.database import Database
from common.store.migrate import migrate
from common.types import Float32s, Int64s
from deploy.embedded.postgres import EmbeddedPostgres

TOGETHER = 64
SIMILARITY = 0.4
ROOM = 4 << 30
LONG_S = 20.0
_LEAST_WIDTH = 132


def times_ms(run: Callable[[], object], repeats: int) -> list[float]:
    """Wall times of repeated runs, after one for warming up unless that took long itself; fewer when they take long."""
    times = [_time_ms(run)]
    if times[0] < LONG_S * 1000:
        times = [_time_ms(run)]
    while len(times) < repeats and sum(times) < LONG_S * 1000:
        times.append(_time_ms(run))
    return times


def recall_at_1(way: Way, probes: Float32s, expected: Int64s) -> float:
    """Share of the probes whose closest reference comes first; of those that were asked before it took too long."""
    found: list[Int64s] = []
    began = time.perf_counter()
    for start in range(0, len(probes), TOGETHER):
        found.append(way.best(probes[start : start + TOGETHER]))
        if time.perf_counter() - began > LONG_S:
            break
    answers = np.concatenate(found)
    return float((answers == expected[: len(answers)]).mean())


def measure(way: Way, probes: Float32s, expected: Int64s, repeats: int) -> dict[str, Any]:
    """The figures of one way."""
    turn = itertools.cycle(range(len(probes)))
    one = times_ms(lambda: way.best(probes[(place := next(turn)) : place + 1]), repeats)
    together = times_ms(lambda: way.best(probes[:TOGETHER]), max(3, repeats // 5))
    return {
        "one_ms": {"p50": _percentile(one, 50), "p95": _percentile(one, 95), "n": len(one)},
        "together_ms": {"p50": _percentile(together, 50), "p95": _percentile(together, 95), "n": len(together)},
        "cheaper_together": round(float(np.median(one) / (np.median(together) / TOGETHER)), 1),
        "recall_at_1": round(recall_at_1(way, probes, expected), 4),
        "bytes": way.nbytes,
        "build_s": round(way.build_s, 2),
    }


def _time_ms(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def bench(size: int, database: Database, asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All ways over one gallery."""
    references = make_references(size, seed=size)
    probes, mates = make_probes(references, asked.probes, SIMILARITY, seed=1)
    gallery_id = str(uuid.uuid4())
    with console.status("") as status:
        for done in store(database, gallery_id, references):
            status.update(f"storing {done:,} of {size:,} references")
        with database.transaction() as cursor:
            cursor.execute("analyze sample_embeddings")
        status.update("brute force in float64")
        expected = truth(references, probes)
        figures: dict[str, Any] = {"mates_first": round(float((expected == mates).mean()), 4)}
        for make in _ways(database, gallery_id, references, console, with_sql=size <= asked.sql_up_to):
            way = make()
            status.update(f"{size:,} references: {way.name}")
            figures[way.name] = measure(way, probes, expected, asked.repeats)
    with database.transaction() as cursor:
        cursor.execute("truncate galleries, subjects, samples, sample_embeddings cascade")
    return figures


def _ways(
    database: Database, gallery_id: str, references: Float16s, console: Console, *, with_sql: bool
) -> list[Callable[[], Way]]:
    ways: list[Callable[[], Way]] = [
        lambda: Facepipe(database, gallery_id, references, name="facepipe: index", room=ROOM),
        lambda: NumpyHalves(references),
    ]
    if with_sql:
        ways.append(lambda: Facepipe(database, gallery_id, references, name="facepipe: database", room=0))
    faiss = find_faiss()
    if faiss is None:
        console.print("FAISS flat: not installed (pip install faiss-cpu)")
    else:
        ways.append(lambda: FaissFlat(faiss, references))
    return ways


def _percentile(times: list[float], percent: int) -> float:
    return round(float(np.percentile(times, percent)), 2)


def _show(console: Console, size: int, figures: dict[str, Any]) -> None:
    columns = ("way", "one: p50", "p95 ms", f"{TOGETHER}: p50", "p95 ms", "each ms", "cheaper", "recall@1")
    table = Table(*columns, "MB", "build s", title=f"{size:,} references x 512")
    for name, way in figures.items():
        if name == "mates_first":
            continue
        one, together = way["one_ms"], way["together_ms"]
        table.add_row(
            name,
            f"{one['p50']:.1f}",
            f"{one['p95']:.1f}",
            f"{together['p50']:.1f}",
            f"{together['p95']:.1f}",
            f"{together['p50'] / TOGETHER:.2f}",
            f"{way['cheaper_together']:.1f}x",
            f"{way['recall_at_1']:.4f}",
            f"{way['bytes'] / 1e6:.0f}",
            f"{way['build_s']:.1f}",
        )
    console.print(table)


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench-gallery", description=__doc__)
    parser.add_argument("--sizes", default="20000,200000,1000000", help="references, by commas")
    parser.add_argument("--probes", type=int, default=256, help="probes whose answer is checked, at least 64")
    parser.add_argument("--repeats", type=int, default=40, help="runs of one probe; a fifth as many of 64")
    parser.add_argument("--sql-up-to", type=int, default=20_000, help="larger galleries take the database minutes")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    if asked.probes < TOGETHER:
        parser.error(f"--probes must be at least {TOGETHER}")
    console = Console()
    console = Console(width=max(console.width, _LEAST_WIDTH))
    folder = Path(tempfile.mkdtemp(prefix="facepipe-bench-"))
    server = EmbeddedPostgres(folder / "data", log=folder / "postgres.log", fsync=False)
    results: dict[str, Any] = {}
    try:
        server.start()
        database = Database(server.url(), size=4)
        migrate(database)
        for size in map(int, asked.sizes.split(",")):
            results[str(size)] = bench(size, database, asked, console)
            _show(console, size, results[str(size)])
        database.close()
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    machine: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }
    console.print(f"{machine['cores']} cores, load average at the end {machine['load_average'][0]}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine, "galleries": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
