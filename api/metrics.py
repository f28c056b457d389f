"""Prometheus metrics: what the database knows, asked at scrape time, and the requests of this process."""

import time
from collections.abc import Iterator
from typing import Any, Final, cast

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.contracts import PICTURE_STAGES, STAGES, JobState
from common.errors import TransientError
from common.metric_names import COUNTERS
from common.store.counters import Counters
from common.store.database import Database
from common.store.workers import Workers

disable_created_metrics()  # type: ignore[no-untyped-call]

_EXTENSION: Final = "facepipe.metrics"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})


class WorkCollector(Collector):
    """Jobs, steps and workers as they are now. An absent database gives `facepipe_database_up` 0 and nothing else."""

    def __init__(self, database: Database, workers: Workers) -> None:
        self._database = database
        self._workers = workers
        self._counters = Counters(database)

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        up = GaugeMetricFamily("facepipe_database_up", "Whether the database answers.")
        try:
            found = [*self._jobs(), *self._steps(), *self._pools(), *self._work()]
        except TransientError:
            found = []
        up.add_metric([], 1.0 if found else 0.0)
        yield up
        yield from found

    def _jobs(self) -> list[Metric]:
        with self._database.transaction() as cursor:
            cursor.execute(
                "select state, count(*) as jobs, sum(frames_done) filter (where kind = 'media') as frames,"
                " sum(faces) as faces from jobs"
                " group by state"
            )
            rows = {row["state"]: row for row in cursor.fetchall()}
        jobs = GaugeMetricFamily("facepipe_jobs", "Stored jobs by state.", labels=["state"])
        for state in JobState:
            jobs.add_metric([str(state)], float(rows[state]["jobs"]) if state in rows else 0.0)
        frames = sum(float(row["frames"] or 0) for row in rows.values())
        faces = sum(float(row["faces"]) for row in rows.values())
        return [
            jobs,
            GaugeMetricFamily("facepipe_frames", "Frames processed by the stored jobs.", value=frames),
            GaugeMetricFamily("facepipe_faces", "Faces found by the stored jobs.", value=faces),
        ]

    def _steps(self) -> list[Metric]:
        with self._database.transaction() as cursor:
            cursor.execute(
                "select coalesce(s.stage, 'none') as stage, s.state, count(*) as steps,"
                " extract(epoch from now() - min(j.created_at)) as age_s from steps s join jobs j on j.id = s.job_id"
                " where s.state in ('pending', 'sent', 'running') group by 1, 2"
            )
            rows = cursor.fetchall()
        steps = GaugeMetricFamily("facepipe_open_steps", "Steps not yet settled.", labels=["stage", "state"])
        oldest: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        for row in rows:
            steps.add_metric([row["stage"], row["state"]], float(row["steps"]))
            oldest[row["stage"]] = max(oldest.get(row["stage"], 0.0), float(row["age_s"]))
        age = GaugeMetricFamily(
            "facepipe_oldest_open_step_age_seconds", "Time since the oldest waiting job was accepted.", labels=["stage"]
        )
        for stage, seconds in oldest.items():
            age.add_metric([stage], seconds)
        return [steps, age]

    def _pools(self) -> list[Metric]:
        alive = self._workers.alive()
        workers = GaugeMetricFamily("facepipe_workers", "Live worker processes.", labels=["stage"])
        threads = GaugeMetricFamily("facepipe_worker_threads", "Threads of live workers.", labels=["stage"])
        for stage in (*STAGES, *(stage for stage in PICTURE_STAGES if stage in alive), "housekeeping"):
            workers.add_metric([stage], float(len(alive.get(stage, ()))))
            threads.add_metric([stage], float(sum(row["threads"] for row in alive.get(stage, ()))))
        return [workers, threads]

    def _work(self) -> list[Metric]:
        values = self._counters.read()
        found: list[Metric] = []
        for name, meaning in COUNTERS.items():
            family = CounterMetricFamily(f"facepipe_{name}", meaning, labels=["stage"])
            for (counted, stage), value in sorted(values.items()):
                if counted == name:
                    family.add_metric([stage], value)
            found.append(family)
        return found


class Metrics:
    """The registry of an app, and its own requests."""

    def __init__(self, database: Database, workers: Workers) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(WorkCollector(database, workers))
        labels = ["method", "route"]
        self._requests = Counter(
            "facepipe_http_requests", "Requests answered.", [*labels, "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "facepipe_http_request_seconds", "Time to the first byte.", labels, registry=self.registry
        )

    def begin(self) -> None:
        """Before a request."""
        g.started = time.perf_counter()

    def end(self, response: Response) -> Response:
        """After a request; unknown paths and methods share a label, so that strangers cannot make new ones."""
        method = request.method if request.method in _METHODS else "other"
        route = "other" if request.url_rule is None else request.url_rule.rule
        self._requests.labels(method, route, str(response.status_code)).inc()
        self._seconds.labels(method, route).observe(time.perf_counter() - g.started)
        return response


def install_metrics(app: Flask, database: Database, workers: Workers) -> None:
    """Count the requests of `app`."""
    metrics = Metrics(database, workers)
    app.extensions[_EXTENSION] = metrics
    app.before_request(metrics.begin)
    app.after_request(metrics.end)


def metrics_of(app: Any) -> Metrics:
    """The metrics of an app."""
    return cast(Metrics, app.extensions[_EXTENSION])
