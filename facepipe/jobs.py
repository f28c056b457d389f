"""Jobs: images and videos that the server works through."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from facepipe.documents import Appearance, Detection, Job, JobEvent, Track
from facepipe.errors import WaitTimeoutError
from facepipe.events import follow
from facepipe.paging import items_of
from facepipe.transport import Transport, path_of
from facepipe.uploads import ImageSource, ProgressCallback, Upload

_FIRST_POLL_S = 0.2
_LAST_POLL_S = 2.0
_PAGE = 500


class Jobs:
    """`client.jobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        media: ImageSource,
        *,
        gallery: str | None = None,
        sample_fps: float | None = None,
        min_similarity: float | None = None,
        min_margin: float | None = None,
        limit: int | None = None,
        attributes: bool = False,
        priority: str | None = None,
        webhook_url: str | None = None,
        idempotency_key: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Job:
        """Hand over an image or a video.

        The file is read while it is sent, so its size does not matter here. A fresh `Idempotency-Key` goes with every
        submission, so that a try that is repeated after a broken connection never makes a second job.

        Args:
            media: a path, the bytes of a file, or an http(s) URL that the server fetches itself.
            gallery: who is searched for; default: nobody, faces are only found and grouped.
            sample_fps: frames looked at per second of video; default: the server's.
            min_similarity: lower bound of a match, inclusive; default: that of the gallery or the model.
            min_margin: lead of the best subject over the next one, cosine.
            limit: candidates kept per track at most.
            attributes: guess age and gender of everybody too; the server's pack must have a network for it.
            priority: high, normal or low.
            webhook_url: where the server posts the final document, signed; see `facepipe.verify_signature`.
            idempotency_key: the caller's own, to make a whole program safe to run again.
            progress: told what was sent.

        Returns:
            The accepted job, as yet without media or progress.
        Raises:
            OSError: the file cannot be read.
            OverloadedError: the server has too many open jobs, still after several tries.
        """
        options: dict[str, Any] = {
            "gallery": gallery,
            "sample_fps": sample_fps,
            "min_similarity": min_similarity,
            "min_margin": min_margin,
            "limit": limit,
            "attributes": attributes or None,
            "priority": priority,
            "webhook_url": webhook_url,
        }
        options = {name: value for name, value in options.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        if is_url(media):
            answer = self._transport.call(
                "POST", path_of("jobs"), json={"media_url": media} | options, headers=headers, is_idempotent=True
            )
        else:
            form = {name: str(value) for name, value in options.items()}
            upload = Upload([("media", media)], progress)
            answer = self._transport.call(
                "POST", path_of("jobs"), form=form, upload=upload, headers=headers, is_idempotent=True
            )
        return Job.from_wire(answer)

    def get(self, job_id: str) -> Job:
        """A job as it is now. Raises NotFoundError."""
        return Job.from_wire(self._transport.call("GET", path_of("jobs", job_id)))

    def list(self, *, state: str | None = None, kind: str | None = None) -> Iterator[Job]:
        """Jobs, newest first; all, or those in one state or of one kind."""
        asked = {"state": state, "kind": kind}
        query = {name: value for name, value in asked.items() if value is not None}
        return map(Job.from_wire, items_of(self._transport, path_of("jobs"), query))

    def cancel(self, job_id: str) -> Job:
        """Stop a job. Raises ConflictError when it has ended already."""
        return Job.from_wire(self._transport.call("POST", path_of("jobs", job_id, "cancel"), is_idempotent=True))

    def retry(self, job_id: str) -> Job:
        """Run again what failed in a partial or failed job; what it has found stays.

        Raises:
            ConflictError: the job is in another state, or its media is gone.
        """
        return Job.from_wire(self._transport.call("POST", path_of("jobs", job_id, "retry")))

    def delete(self, job_id: str) -> None:
        """Erase a job with its results and crops."""
        self._transport.call("DELETE", path_of("jobs", job_id))

    def events(self, job_id: str, *, last_event_id: str | None = None) -> Iterator[JobEvent]:
        """What happens to a job, until its end; connections that break are made again."""
        return follow(self._transport, path_of("jobs", job_id, "events"), last_event_id=last_event_id)

    def wait(
        self, job_id: str, *, timeout_s: float | None = None, on_progress: Callable[[Job], None] | None = None
    ) -> Job:
        """Ask again and again, up to every two seconds, until the job has ended.

        Returns:
            The job in its final state, whichever that is.
        Raises:
            WaitTimeoutError: it did not end in time; it goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = _FIRST_POLL_S
        while not (job := self.get(job_id)).is_final:
            if on_progress:
                on_progress(job)
            left_s = _LAST_POLL_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                raise WaitTimeoutError("wait_timeout", f"Job {job_id} did not end within {timeout_s} s; it goes on.")
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LAST_POLL_S)
        return job

    def appearances(self, job_id: str) -> Iterator[Appearance]:
        """Who appears, and when, in order of time."""
        return map(Appearance.from_wire, items_of(self._transport, path_of("jobs", job_id, "appearances")))

    def detections(self, job_id: str) -> Iterator[Detection]:
        """Every face in every frame looked at, in order of time, fetched page by page."""
        pages = items_of(self._transport, path_of("jobs", job_id, "detections"), {"limit": _PAGE})
        return map(Detection.from_wire, pages)

    def tracks(self, job_id: str) -> Iterator[Track]:
        """Faces followed over frames; there are none until the job has ended."""
        return map(Track.from_wire, items_of(self._transport, path_of("jobs", job_id, "tracks"), {"limit": _PAGE}))

    def thumbnail(self, appearance: Appearance) -> bytes | None:
        """The JPEG that shows an appearance, or None when it has none."""
        return self._transport.fetch(appearance.thumbnail_url) if appearance.thumbnail_url else None


def is_url(media: ImageSource | Path) -> bool:
    """Whether the server is to fetch this itself."""
    return isinstance(media, str) and media.lower().startswith(("http://", "https://"))
