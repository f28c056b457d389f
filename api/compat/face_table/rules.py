"""The routes on the face table, which 002 has at the root and 003 under a prefix of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask, Response
from flask.globals import request

from api.compat.face_table.answers import INVALID, RefusedError, json_answer, render_refusals, text_answer
from api.compat.face_table.recognition import read_bound, recognise
from api.compat.face_table.samples import read_samples, store_samples, text_of
from api.compat.json_body import read_json
from api.request_id import current_request_id
from api.services import Services
from common.errors import BadInputError, TransientError
from common.store.audit import Entry, auditing
from common.store.face_table import FaceTable, is_storable

#: One table for both predecessors, as they had one contract.
GALLERY: Final = "compat-faces"

_RECOGNITION: Final = "/face-recognition"
_RUNNING: Final = "Face detection server is running."
_DATABASE_FIELDS: Final = ("host", "db_name", "username", "password")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the two differ.

    Attributes:
        prefix: of all routes but recognition, which is the same.
        replaces: a sample takes the place of what its id had, rather than joining it.
        no_database: answer of config-database when ours is away.
        not_cleared: (key, text) of clear-samples then.
        has_metadata: whether name and metadata can be changed.
    """

    prefix: str
    replaces: bool
    no_database: str
    not_cleared: tuple[str, str]
    has_metadata: bool


ROOT: Final = Dialect("", True, "Database configuration is failed.", ("fail", "Couldn't connect to database"), False)
PREFIXED: Final = Dialect(
    _RECOGNITION,
    False,
    "Database configuration is failed. Failed to create tables for face recognition module.",
    ("error", "Failed to clear the existing samples"),
    True,
)


def open_table(services: Services) -> FaceTable:
    """The table of both."""
    return FaceTable(services.database, GALLERY, services.model_id)


def add_rules(app: Flask, services: Services, dialect: Dialect) -> None:
    """Add the routes to an app made by `api.compat.base.make_base`."""
    views = _Views(services, open_table(services), dialect)

    def add(path: str, view: Callable[..., Response], *methods: str) -> None:
        app.add_url_rule(path, f"face_table.{path}.{'.'.join(methods)}", view, methods=methods)

    prefix = dialect.prefix
    add(f"{prefix}/config-database", views.config_database, "GET", "POST")
    add(f"{prefix}/clear-samples", views.clear_samples, "GET", "POST")
    add(f"{prefix}/update-samples", views.running, "GET")
    add(f"{prefix}/update-samples", views.update_samples, "POST")
    add(_RECOGNITION, views.running, "GET")
    add(_RECOGNITION, views.recognise, "POST")
    if dialect.has_metadata:
        add(f"{prefix}/update-metadata/<path:sample_id>", views.update_metadata, "POST")
    render_refusals(app)


class _Views:
    def __init__(self, services: Services, table: FaceTable, dialect: Dialect) -> None:
        self._services = services
        self._table = table
        self._dialect = dialect

    def running(self) -> Response:
        """What a browser reads that was pointed at a route."""
        return text_answer(_RUNNING)

    def config_database(self) -> Response:
        """Nothing is configured: the values are not even looked at, and our own database is tried."""
        _refuse_lured_browsers()
        try:
            document = read_json()
        except BadInputError:
            document = None
        given = document if isinstance(document, dict) else {}
        for field in _DATABASE_FIELDS:
            if field not in given:
                return text_answer(f'"{field}" is missing.', 400)
        try:
            self._table.open()
        except TransientError:
            return text_answer(self._dialect.no_database, 500)
        return text_answer("Database configuration is done.")

    def clear_samples(self) -> Response:
        """Erase everybody, with their crops."""
        _refuse_lured_browsers()
        key, text = self._dialect.not_cleared
        with self._audited("delete_subject"), _answered(TransientError, text, 500, key):
            self._table.open()
            prefixes = self._table.clear()
        for prefix in prefixes:
            self._services.blobs.delete(prefix)
        return json_answer({"success": "Samples have been removed successfully"})

    def update_samples(self) -> Response:
        """Enrol."""
        samples = read_samples(_read())
        with self._audited("enroll"), _answered(TransientError, "Database Connection Error"):
            outcome = store_samples(self._services, self._table, samples, replaces=self._dialect.replaces)
        return json_answer({"success": outcome.success, "fail": outcome.fail})

    def recognise(self) -> Response:
        """Who is in the picture."""
        document = _read()
        if not isinstance(document, dict) or "image" not in document:
            raise RefusedError(INVALID)
        bound = read_bound(document)
        text = "Couldn't get sample data, it seems like there is no database connection."
        with self._audited("search"), _answered(TransientError, text, 500):
            return json_answer(recognise(self._services, self._table, document["image"], bound))

    def update_metadata(self, sample_id: str) -> Response:
        """Change name and metadata of somebody, such as an unknown person."""
        try:
            document = _read()
        except RefusedError:
            document = {}
        given: dict[str, Any] = document if isinstance(document, dict) else {}
        for field in ("name", "metadata"):
            if field not in given:
                raise RefusedError(f'"{field}" is missing in the request.')
        name, metadata = text_of(given["name"]), text_of(given["metadata"])
        if not (is_storable(name) and is_storable(metadata)):
            raise RefusedError(INVALID)
        missing = f'Could not find "{sample_id}" in database.'
        with self._audited("change_subject"), _answered(TransientError, "DB connection error occurred", 500):
            self._table.open()
            if not is_storable(sample_id) or not self._table.rename(sample_id, name, metadata):
                raise RefusedError(missing)
        return json_answer({"success": f'"{sample_id}" has been configured successfully.'})

    @contextmanager
    def _audited(self, action: str) -> Iterator[None]:
        with auditing(Entry(action, "", current_request_id(), self._table.name)):
            yield


@contextmanager
def _answered(error: type[Exception], text: str, status: int = 400, key: str = "error") -> Iterator[None]:
    """Inside the `with`, an error of ours becomes the text of theirs."""
    try:
        yield
    except error as raised:
        raise RefusedError(text, status, key) from raised


def _read() -> Any:
    try:
        return read_json()
    except BadInputError as error:
        raise RefusedError(INVALID) from error


def _refuse_lured_browsers() -> None:
    """A picture or link in a page of another site leads here by GET, and a browser then tells no `Origin`."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise BadInputError("Pages of other sites may not call this server.", field="Sec-Fetch-Site")
