"""Work over what the server has stored: galleries moved to another model, finished jobs matched again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from facepipe.documents import Job
from facepipe.transport import Transport, path_of


class BulkJobs:
    """`client.bulk`. Each method gives the accepted job, which `client.jobs` follows; its `report` is the answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def reindex(
        self,
        gallery: str,
        model: str,
        *,
        dry_run: bool = False,
        switch: str = "auto",
        allow_missing: bool = False,
        min_similarity: float | None = None,
        priority: str = "low",
        webhook_url: str | None = None,
    ) -> Job:
        """Move a gallery to another embedding model, while searches go on.

        Args:
            gallery: name of the gallery.
            model: name of an installed pack, or the id of its embedding model.
            dry_run: only report who would be matched differently.
            switch: "auto", or "manual" to build and report; a later re-index for the same model then switches.
            allow_missing: switch although crops are gone, whose samples are then found no more.
            min_similarity: the gallery's bound from the switch on; default: the new model's calibrated one.
            priority: high, normal or low.
            webhook_url: where the server posts the final document.

        Raises:
            ConflictError: the gallery is being re-indexed already, or no installed pack has the model.
        """
        body = {
            "model": model,
            "dry_run": dry_run,
            "switch": switch,
            "allow_missing": allow_missing,
            "min_similarity": min_similarity,
        }
        return self._post(gallery, "reindex", body, priority, webhook_url)

    def rollback(self, gallery: str, *, priority: str = "low", webhook_url: str | None = None) -> Job:
        """Go back to the index before the last switch. Raises ConflictError when there is none."""
        return self._post(gallery, "rollback", {}, priority, webhook_url)

    def clean(self, gallery: str) -> dict[str, int]:
        """Remove every index but the live one; gives how many embeddings of `samples` and `tracks` went.

        Raises:
            ConflictError: a re-index is under way, or jobs that still need a former index.
        """
        removed: dict[str, int] = self._transport.call("POST", path_of("galleries", gallery, "clean"), json={})
        return removed

    def rematch(
        self,
        gallery: str,
        *,
        jobs: Sequence[str] = (),
        subjects: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        min_similarity: float | None = None,
        priority: str = "low",
        webhook_url: str | None = None,
    ) -> Job:
        """Decide anew who is seen in finished jobs, without decoding anything.

        Args:
            gallery: who is searched for, as they are now.
            jobs: these jobs, whatever gallery they had; default: every finished job of this gallery.
            subjects: only answers that name one of these, now or before, may change.
            since, until: aware times; only jobs made at or after, and before.
            min_similarity: default: what each job asked for, else the gallery's, else the model's.
            priority: high, normal or low.
            webhook_url: where the server posts the final document.
        """
        body = {
            "jobs": list(jobs),
            "subjects": list(subjects),
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "min_similarity": min_similarity,
        }
        return self._post(gallery, "rematch", body, priority, webhook_url)

    def calibrate(
        self,
        gallery: str,
        *,
        fmr: float | None = None,
        fpir: float | None = None,
        extrapolate: bool = False,
        save: bool = False,
        priority: str = "low",
        webhook_url: str | None = None,
    ) -> Job:
        """Measure which `min_similarity` a gallery's own samples speak for.

        Args:
            gallery: name of the gallery.
            fmr: wished false match rate of one comparison; default 1e-3.
            fpir: instead of it: wished share of searches of this gallery that name a stranger.
            extrapolate: recommend beyond what the pairs carry, by a tail model.
            save: make the recommendation the gallery's `min_similarity`.
            priority: high, normal or low.
            webhook_url: where the server posts the final document.
        """
        body = {"fmr": fmr, "fpir": fpir, "extrapolate": extrapolate, "save": save}
        return self._post(gallery, "calibrate", body, priority, webhook_url)

    def calibration_picture(self, job_id: str) -> bytes:
        """The rates over the bound as a PNG. Raises NotFoundError until the job has ended."""
        return self._transport.fetch(path_of("jobs", job_id, "calibration.png"))

    def _post(self, gallery: str, action: str, body: Mapping[str, Any], priority: str, webhook_url: str | None) -> Job:
        asked = {**body, "priority": priority, "webhook_url": webhook_url}
        wire = {name: value for name, value in asked.items() if value is not None}
        return Job.from_wire(self._transport.call("POST", path_of("galleries", gallery, action), json=wire))
