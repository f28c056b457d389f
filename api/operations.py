"""The route table: what each call takes and gives is said once, and is what is served and what is documented."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from flask import Response, g, request
from pydantic import BaseModel

from api.request_id import current_request_id
from api.schemas import read_json, read_query
from api.services import services
from api.uploads import FilePart, read_multipart
from common.store.audit import Entry, auditing

View = Callable[..., Any]

#: Path parameter to Flask converter and OpenAPI schema.
PATH_PARAMETERS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "gallery": ("string", {"type": "string"}),
    "subject": ("uuid", {"type": "string", "format": "uuid"}),
    "sample": ("uuid", {"type": "string", "format": "uuid"}),
    "job": ("uuid", {"type": "string", "format": "uuid"}),
    "webhook": ("uuid", {"type": "string", "format": "uuid"}),
    "person": ("uuid", {"type": "string", "format": "uuid"}),
    "track": ("int(max=2147483647)", {"type": "integer", "minimum": 0}),
    "crop": ("int(max=2147483647)", {"type": "integer", "minimum": 0}),
}

#: Codes that any call may answer, whatever else it says.
COMMON_ERRORS: Final = ("bad_input", "unauthorized", "internal", "unavailable")


@dataclass(frozen=True, slots=True)
class Body:
    """What a call takes: JSON, or a multipart form, or either.

    The view gets the checked model as `body`, and with a form the `Upload`s by part as `files`.
    """

    json: type[BaseModel] | None = None
    form: type[BaseModel] | None = None
    files: tuple[FilePart, ...] = ()

    def read(self) -> dict[str, Any]:
        """Arguments of the view. Raises BadInputError."""
        if self.form is None and self.json is not None:
            return {"body": read_json(self.json)}
        if self.json is not None and request.mimetype == "application/json":
            return {"body": read_json(self.json), "files": {}}
        if self.form is None:
            raise TypeError("a body without a model")
        body, files = read_multipart(self.form, self.files, services().settings.api)
        return {"body": body, "files": files}


@dataclass(frozen=True, slots=True)
class Audited:
    """What the audit says of a call. A call with an effect is recorded by its store, in the effect's transaction; for
    any other the line is made of the answer, and written before that is given.

    Attributes:
        action: what was done, one word.
        subjects: ids of the subjects in the answer.
        counts: what the answer holds, in numbers.
        job: id of the job in the answer.
    """

    action: str
    subjects: Callable[[Any], Iterable[str]] = lambda _: ()
    counts: Callable[[Any], Mapping[str, int]] = lambda _: {}
    job: Callable[[Any], str | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        path: as in OpenAPI; its parameters are in `PATH_PARAMETERS` and are given to the view as text or int.
        view: gives a document, None, a `Response`, or a document and headers.
        answer: model of the document, or media types of another answer.
        errors: codes beyond `COMMON_ERRORS`.
        headers: request headers, name to description.
        admit: runs before the body is read; raises to refuse.
        audit: what is written about it, if anything is.
    """

    method: str
    path: str
    tag: str
    view: View
    body: Body | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    media_types: tuple[str, ...] = ()
    status: int = 200
    errors: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    admit: Callable[[], None] | None = None
    audit: Audited | None = None

    @property
    def name(self) -> str:
        """Unique name, also in OpenAPI."""
        return self.view.__name__

    @property
    def summary(self) -> str:
        """First line of the view's docstring."""
        return (inspect.getdoc(self.view) or "").split("\n", 1)[0]

    @property
    def description(self) -> str:
        """The rest of the view's docstring."""
        return (inspect.getdoc(self.view) or "").partition("\n")[2].strip()

    @property
    def rule(self) -> str:
        """The path in Flask's notation."""
        rule = self.path
        for name, (converter, _) in PATH_PARAMETERS.items():
            rule = rule.replace(f"{{{name}}}", f"<{converter}:{name}>")
        return rule

    def serve(self, **path: Any) -> Response:
        """Answer the current request."""
        given = {name: str(value) if isinstance(value, UUID) else value for name, value in path.items()}
        if self.admit is not None:
            self.admit()
        if self.query is not None:
            given["query"] = read_query(self.query)
        if self.body is not None:
            given |= self.body.read()
        return self._respond(self.view(**given) if self.audit is None else self._audited(self.audit, given))

    def _audited(self, audited: Audited, given: Mapping[str, Any]) -> Any:
        named = given.get("gallery") or getattr(given.get("body"), "gallery", None)
        entry = Entry(audited.action, g.owner, current_request_id(), named, given.get("subject"))
        with auditing(entry):
            answer = self.view(**given)
            if not entry.is_recorded:
                document = answer[0] if isinstance(answer, tuple) else answer
                services().audit.record(
                    subject_ids=audited.subjects(document),
                    counts=audited.counts(document),
                    job_id=audited.job(document),
                )
        return answer

    def _respond(self, answer: Any) -> Response:
        if isinstance(answer, Response):
            return answer
        headers: Mapping[str, str] = {}
        if isinstance(answer, tuple):
            answer, headers = answer
        if answer is None:
            return Response(status=204)
        return Response(
            answer.model_dump_json(), status=self.status, mimetype="application/json", headers=dict(headers)
        )


class Routes:
    """Collects the operations of one module under `tag`."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.operations: list[Operation] = []

    def get(self, path: str, **declared: Any) -> Callable[[View], View]:
        """Declare a GET; see `Operation` for the arguments."""
        return self._declare("GET", path, declared)

    def post(self, path: str, **declared: Any) -> Callable[[View], View]:
        """Declare a POST."""
        return self._declare("POST", path, declared)

    def patch(self, path: str, **declared: Any) -> Callable[[View], View]:
        """Declare a PATCH."""
        return self._declare("PATCH", path, declared)

    def delete(self, path: str, **declared: Any) -> Callable[[View], View]:
        """Declare a DELETE."""
        return self._declare("DELETE", path, declared)

    def _declare(self, method: str, path: str, declared: Mapping[str, Any]) -> Callable[[View], View]:
        def add(view: View) -> View:
            self.operations.append(Operation(method, path, self.tag, view, **declared))
            return view

        return add


def all_operations(modules: Sequence[Routes]) -> list[Operation]:
    """Every operation, in order. Raises ValueError when two have one name."""
    operations = [operation for routes in modules for operation in routes.operations]
    names = [operation.name for operation in operations]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two operations are called {doubled}")
    return operations
