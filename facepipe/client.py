"""The client: one object for one server.

Galleries and their subjects are under `client.galleries` and `client.subjects`, jobs under `client.jobs`, those over
what is stored under `client.bulk`, what was pushed about them under `client.webhooks`; questions that are answered at
once are methods of the client itself.
"""

import os
from datetime import datetime
from types import TracebackType
from typing import Self

from facepipe.audit import Audit
from facepipe.bulk import BulkJobs
from facepipe.documents import Comparison, Faces, Footage
from facepipe.galleries import Galleries, Subjects
from facepipe.jobs import Jobs
from facepipe.people import People
from facepipe.transport import Transport, default_url, path_of
from facepipe.uploads import ImageSource, Upload
from facepipe.webhooks import Webhooks


class Client:
    """Speaks to a facepipe server. Safe to share between threads; close it, or use it in a `with`.

    Args:
        url: root of the API; default: `FACEPIPE_URL`, or else this machine on `FACEPIPE_PORT` (8000).
        api_key: default: `FACEPIPE_API_KEY`; not needed while the server listens on loopback alone.
        timeout_s: longest silence of the server during a request.
        retries: how often a request is tried again, where that cannot do harm.

    Raises:
        ValueError: the URL is none.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, timeout_s: float = 60.0, retries: int = 4
    ) -> None:
        key = api_key if api_key is not None else os.environ.get("FACEPIPE_API_KEY")
        self._transport = Transport(url or default_url(), key, timeout_s=timeout_s, retries=retries)
        self.galleries = Galleries(self._transport)
        self.subjects = Subjects(self._transport)
        self.jobs = Jobs(self._transport)
        self.bulk = BulkJobs(self._transport)
        self.people = People(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.audit = Audit(self._transport)

    @property
    def url(self) -> str:
        """Root of the API."""
        return self._transport.url

    def is_ready(self) -> bool:
        """Whether the server can work: database, broker and at least one worker a stage."""
        return self._transport.is_ok("/readyz")

    def detect(self, image: ImageSource, *, attributes: bool = False) -> Faces:
        """The faces in an image.

        Args:
            image: path or bytes.
            attributes: guess age and gender too, and what else the server's pack has networks for.

        Raises:
            ConflictError: attributes are asked for, and the server's pack has no network that guesses them.
        """
        return Faces.from_wire(self._ask(path_of("detect"), _asked(attributes), image=image))

    def embeddings(self, image: ImageSource, *, attributes: bool = False) -> Faces:
        """The faces in an image, each with its embedding of unit length; `attributes` as for `detect`."""
        return Faces.from_wire(self._ask(path_of("embeddings"), _asked(attributes), image=image))

    def compare(self, source: ImageSource, target: ImageSource, *, min_similarity: float | None = None) -> Comparison:
        """Whether the largest faces of two images show the same person."""
        form = {} if min_similarity is None else {"min_similarity": repr(float(min_similarity))}
        return Comparison.from_wire(self._ask(path_of("compare"), form, source=source, target=target))

    def search(
        self,
        gallery: str,
        image: ImageSource,
        *,
        min_similarity: float | None = None,
        limit: int | None = None,
        attributes: bool = False,
    ) -> Faces:
        """Who in a gallery the faces in an image may be.

        Args:
            gallery: name of the gallery.
            image: path or bytes.
            min_similarity: lower bound, inclusive; default: that of the gallery or the model.
            limit: candidates per face at most.
            attributes: as for `detect`.
        """
        form = _asked(attributes)
        if min_similarity is not None:
            form["min_similarity"] = repr(float(min_similarity))
        if limit is not None:
            form["limit"] = str(limit)
        return Faces.from_wire(self._ask(path_of("galleries", gallery, "search"), form, image=image))

    def search_footage(
        self,
        image: ImageSource,
        *,
        min_similarity: float | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        gallery: str | None = None,
        model: str | None = None,
        limit: int | None = None,
    ) -> Footage:
        """Where the largest face of an image was ever seen, in everything processed, enrolled or not.

        Args:
            image: path or bytes.
            min_similarity: lower bound, inclusive; default: that of the gallery or the model.
            since, until: only jobs made in this time; aware, or text such as 2026-11-01T00:00:00Z.
            gallery: only jobs that searched this gallery.
            model: a pack or a model id; default: that of the gallery, else the active one.
            limit: appearances at most, the best ones.
        """
        options = {
            "min_similarity": None if min_similarity is None else repr(float(min_similarity)),
            "since": since.isoformat() if isinstance(since, datetime) else since,
            "until": until.isoformat() if isinstance(until, datetime) else until,
            "gallery": gallery,
            "model": model,
            "limit": None if limit is None else str(limit),
        }
        form = {name: value for name, value in options.items() if value is not None}
        return Footage.from_wire(self._ask(path_of("footage", "search"), form, image=image))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, path: str, form: dict[str, str], **images: ImageSource) -> dict[str, object]:
        # nothing is stored, so asking twice does no harm
        answer: dict[str, object] = self._transport.call(
            "POST", path, form=form, upload=Upload(images.items()), is_idempotent=True
        )
        return answer


def _asked(attributes: bool) -> dict[str, str]:
    """The field that asks for attributes, or none, which servers that do not know it take too."""
    return {"attributes": "true"} if attributes else {}
