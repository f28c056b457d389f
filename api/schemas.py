"""What callers may send: JSON bodies, form fields and query parameters, checked at the door."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NoReturn, Self, TypeVar
from uuid import UUID

from flask import request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from common.contracts import JobKind, JobState
from common.errors import BadInputError
from common.store.galleries import GALLERY_NAME
from common.store.paging import Row

Model = TypeVar("Model", bound=BaseModel)

_JSON_BYTES: Final = 1 << 20
_METADATA_BYTES: Final = 16 << 10


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("NUL characters cannot be stored")
    return text


def _storable_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (ValueError, RecursionError) as error:
        raise ValueError("it holds a number or text that JSON cannot carry") from error
    if "\\u0000" in text:
        raise ValueError("NUL characters cannot be stored")
    if size > _METADATA_BYTES:
        raise ValueError(f"it has {size} bytes as JSON; at most {_METADATA_BYTES} are kept")
    return metadata


def _from_json_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except BadInputError as error:
        raise ValueError(error.message) from error


Text = Annotated[str, AfterValidator(_storable), Field(min_length=1, max_length=200)]
Metadata = Annotated[dict[str, Any], AfterValidator(_storable_metadata)]
MetadataText = Annotated[
    Metadata, BeforeValidator(_from_json_text), Field(json_schema_extra={"contentMediaType": "application/json"})
]
Similarity = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
MIN_SIMILARITY: Final = (
    "Cosine in [-1, 1], inclusive lower bound; default: the gallery's, else the server's, else the model's calibrated."
)


class Request(BaseModel):
    """Base of everything a caller sends: unknown fields are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewGallery(Request):
    """A gallery to create."""

    name: str = Field(pattern=GALLERY_NAME, description="Letters, digits, '.', '_' and '-'; at most 64.")
    model: Text | None = Field(
        default=None,
        description="Name of an installed pack, or the id of its embedding model; default: the active pack's.",
    )
    min_similarity: Similarity | None = Field(default=None, description="Default of jobs and searches in this gallery.")


class NoFields(Request):
    """No text fields."""


class EnrolForm(Request):
    """Somebody to enrol."""

    name: Text
    external_id: Text | None = Field(default=None, description="Your own key, unique in the gallery.")
    metadata: MetadataText = Field(default={}, description="A JSON object that is given back with every candidate.")


class SubjectChanges(Request):
    """What to change; what is not named stays."""

    name: Text | None = None
    external_id: Text | None = Field(default=None, description="null removes it.")
    metadata: Metadata | None = Field(default=None, description="Replaces the whole object.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one of name, external_id and metadata")
        for field in ("name", "metadata"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} cannot be null")
        return self


ATTRIBUTES: Final = "Guess age and gender too; needs a pack with an attribute network."


class FacesForm(Request):
    """What to say of faces."""

    attributes: bool = Field(default=False, description=ATTRIBUTES)


class SearchForm(Request):
    """How to search."""

    min_similarity: Similarity | None = Field(default=None, description=MIN_SIMILARITY)
    limit: int = Field(default=5, ge=1, le=100, description="Candidates per face at most.")
    attributes: bool = Field(default=False, description=ATTRIBUTES)


class CompareForm(Request):
    """How to compare."""

    min_similarity: Similarity | None = Field(default=None, description=MIN_SIMILARITY)


class JobForm(Request):
    """Options of a job."""

    gallery: Text | None = Field(default=None, description="Gallery to search; without one, everybody is unknown.")
    sample_fps: float | None = Field(
        default=None, gt=0, le=120, allow_inf_nan=False, description="Frames taken per second of video."
    )
    min_similarity: Similarity | None = Field(default=None, description=MIN_SIMILARITY)
    min_margin: float | None = Field(
        default=None, ge=0, le=2, allow_inf_nan=False, description="Lead of the best subject over the next, cosine."
    )
    limit: int = Field(default=5, ge=1, le=100, description="Candidates kept per track.")
    attributes: bool = Field(default=False, description=ATTRIBUTES)
    priority: Literal["high", "normal", "low"] = "normal"
    webhook_url: Annotated[Text, Field(max_length=2000)] | None = Field(
        default=None, description="The final document is posted there, signed; http or https, no private addresses."
    )


class JobLink(JobForm):
    """A job whose media the server fetches."""

    media_url: Annotated[Text, Field(max_length=2000)] = Field(description="http or https; no private addresses.")


class BulkRequest(Request):
    """What every bulk job may be given."""

    priority: Literal["high", "normal", "low"] = Field(
        default="low", description="Its turn among jobs; it never takes more than half of a pool."
    )
    webhook_url: Annotated[Text, Field(max_length=2000)] | None = Field(
        default=None, description="The final document is posted there, signed; http or https, no private addresses."
    )


class ReindexRequest(BulkRequest):
    """A gallery to move to another embedding model."""

    model: Text = Field(description="Name of an installed pack, or the id of its embedding model.")
    dry_run: bool = Field(default=False, description="Report what would change, and change nothing.")
    switch: Literal["auto", "manual"] = Field(
        default="auto",
        description="manual: build the new index and report; a later re-index for the same model switches to it.",
    )
    allow_missing: bool = Field(
        default=False, description="Switch although crops are gone, whose samples are then found no more."
    )
    min_similarity: Similarity | None = Field(
        default=None, description="The gallery's own bound from the switch on; default: the new model's calibrated."
    )


class RematchRequest(BulkRequest):
    """Finished jobs to decide anew."""

    jobs: list[UUID] = Field(
        default=[],
        max_length=1000,
        description="These jobs, whatever gallery they had; default: every finished job of this gallery.",
    )
    subjects: list[UUID] = Field(
        default=[], max_length=1000, description="Only answers that name one of these, now or before, may change."
    )
    since: AwareDatetime | None = Field(default=None, description="Only jobs made at or after this time.")
    until: AwareDatetime | None = Field(default=None, description="Only jobs made before this time.")
    min_similarity: Similarity | None = Field(
        default=None, description="Default: what each job asked for, else the gallery's, else the model's."
    )


class PageQuery(Request):
    """Which page."""

    cursor: Text | None = Field(default=None, max_length=1000, description="`next_cursor` of the page before.")
    limit: int = Field(default=100, ge=1, le=1000, description="Items at most.")


class SubjectsQuery(PageQuery):
    """Which subjects."""

    external_id: Text | None = Field(default=None, description="Only the subject with this external id.")
    name: Text | None = Field(default=None, description="Only subjects with exactly this name.")


class ExportQuery(Request):
    """What the export becomes."""

    label: Text | None = Field(
        default=None, description="Such as a file name; the receipt of an erasure names the exports that hold a person."
    )


class AuditQuery(PageQuery):
    """Which lines of the audit."""

    action: Text | None = Field(default=None, description="Only this action, such as `search`.")
    gallery: Text | None = Field(default=None, description="Only calls that name this gallery.")
    subject: UUID | None = Field(default=None, description="Only lines that name this subject.")
    since: AwareDatetime | None = Field(default=None, description="RFC 3339, inclusive.")
    until: AwareDatetime | None = Field(default=None, description="RFC 3339, exclusive.")


class MovedEmbeddingForm(Request):
    """An embedding as it was exported."""

    model_id: Text
    float16: str = Field(max_length=20_000, description="Little-endian half floats in base64.")
    sha256: str = Field(max_length=64, description="Of the bytes.")


class MovedSampleForm(Request):
    """A sample as it was exported; the crop comes as a file part named after the id."""

    id: UUID
    det_score: float = Field(ge=0, le=1, allow_inf_nan=False)
    quality: float = Field(ge=0, le=1, allow_inf_nan=False)
    image_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    crop_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    embeddings: list[MovedEmbeddingForm] = Field(default=[], max_length=20)


class MovedSubjectForm(Request):
    """A subject as it was exported."""

    id: UUID
    name: Text
    external_id: Text | None = None
    metadata: Metadata = {}
    samples: list[MovedSampleForm] = Field(default=[], max_length=1000)


class ImportForm(Request):
    """A subject to take in."""

    subject: Annotated[
        MovedSubjectForm,
        BeforeValidator(_from_json_text),
        WithJsonSchema(
            {
                "type": "object",
                "contentMediaType": "application/json",
                "description": "As exported: id, name, external_id, metadata, and samples with id, det_score, quality,"
                " image_sha256, crop_sha256 and embeddings.",
            }
        ),
    ]


class FootageForm(Request):
    """Which footage to search, and how."""

    min_similarity: Similarity | None = Field(default=None, description=MIN_SIMILARITY)
    since: AwareDatetime | None = Field(default=None, description="Only jobs made then or later; RFC 3339.")
    until: AwareDatetime | None = Field(default=None, description="Only jobs made then or earlier; RFC 3339.")
    gallery: Text | None = Field(default=None, description="Only jobs that searched this gallery, with its model.")
    model: Text | None = Field(
        default=None, description="A pack or a model id; default: that of the gallery, else the active one."
    )
    limit: int = Field(default=100, ge=1, le=1000, description="Appearances at most, the best ones.")


class FootageProbe(FootageForm):
    """A face that is known already: its embedding, or a track."""

    embedding: list[float] | None = Field(
        default=None, min_length=1, max_length=4096, description="Of the model; any length but zero."
    )
    job_id: UUID | None = Field(default=None, description="With `track_id`: the face of that track.")
    track_id: int | None = Field(default=None, ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def _is_one_face(self) -> Self:
        if (self.job_id is None) != (self.track_id is None):
            raise ValueError("job_id and track_id go together")
        if (self.embedding is None) == (self.job_id is None):
            raise ValueError("send either an embedding, or job_id and track_id; a picture comes as multipart/form-data")
        return self


class PeopleQuery(PageQuery):
    """Which unknown people."""

    order: Literal["most_seen", "last_seen"] = Field(default="most_seen", description="In most jobs, or latest, first.")
    min_jobs: int = Field(default=1, ge=1, le=2**31 - 1, description="Only people seen in so many jobs.")


class IndexRequest(BulkRequest):
    """How a gallery is searched."""

    kind: Literal["exact", "hnsw"] = Field(description="hnsw: approximately, once the index is built and measured.")
    min_recall: float | None = Field(
        default=None,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="The index is used only if it finds the best match of so many probes; default: 0.99. hnsw alone.",
    )

    @model_validator(mode="after")
    def _recall_is_of_an_index(self) -> Self:
        if self.kind == "exact" and self.min_recall is not None:
            raise ValueError("exact search misses nobody: min_recall goes with hnsw")
        return self


class CalibrateRequest(BulkRequest):
    """What to recommend."""

    fmr: float | None = Field(
        default=None, gt=0, lt=1, allow_inf_nan=False, description="Wished false match rate of one comparison."
    )
    fpir: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="Instead: wished rate of searches of this gallery that name a stranger. Default: an fmr of 0.001.",
    )
    extrapolate: bool = Field(default=False, description="Recommend beyond what the pairs carry, by a tail model.")
    save: bool = Field(default=False, description="Make the recommendation the gallery's min_similarity.")

    @model_validator(mode="after")
    def _wishes_one_rate(self) -> Self:
        if self.fmr is not None and self.fpir is not None:
            raise ValueError("wish for fmr or fpir, not both")
        return self


class PersonName(Request):
    """Who an unknown person is."""

    gallery: Text = Field(description="Where to enrol the person; of the model that it was seen with.")
    name: Text
    external_id: Text | None = Field(default=None, description="Your own key, unique in the gallery.")
    metadata: Metadata = Field(default={}, description="A JSON object that is given back with every candidate.")


class PersonMerge(Request):
    """Two people who are one."""

    into: UUID = Field(description="The person that stays, and gets all tracks.")


class JobsQuery(PageQuery):
    """Which jobs."""

    state: JobState | None = Field(default=None, description="Only jobs in this state.")
    kind: JobKind | None = Field(default=None, description="Only jobs of this kind: media or a bulk job's.")


class WebhooksQuery(PageQuery):
    """Which webhooks."""

    state: Literal["pending", "delivered", "failed"] | None = Field(
        default=None, description="Only webhooks in this state."
    )
    job: UUID | None = Field(default=None, description="Only webhooks of this job.")


class DetectionsQuery(PageQuery):
    """Which detections."""

    limit: int | None = Field(  # type: ignore[assignment]
        default=None, ge=1, le=1000, description="Items at most; default 100 as JSON, everything as NDJSON."
    )


def validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Check what a caller sent.

    Raises:
        BadInputError: names the first field at fault and what is wrong with it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    if first["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) or "none"
        raise BadInputError(f"Unknown field {field!r}; known are: {known}.", field=field)
    if first["type"] == "missing":
        raise BadInputError(f"The field {field!r} is missing.", field=field)
    reason = first["msg"].removeprefix("Value error, ")
    raise BadInputError(f"{field}: {reason}." if field else f"{reason[0].upper()}{reason[1:]}.", field=field)


def read_json(model: type[Model]) -> Model:
    """The JSON body of the current request.

    Raises:
        BadInputError: another content type, not JSON, not an object, or not as `model` says.
    """
    if request.mimetype != "application/json":
        raise BadInputError("Send a JSON body with Content-Type: application/json.", "unsupported_media_type")
    request.max_content_length = _JSON_BYTES
    document = parse_json(request.get_data(cache=False))
    if not isinstance(document, dict):
        raise BadInputError("The body must be a JSON object.")
    return validate(model, document)


def read_query(model: type[Model]) -> Model:
    """The query parameters of the current request. Raises BadInputError."""
    for name in request.args:
        if len(request.args.getlist(name)) > 1:
            raise BadInputError(f"The parameter {name!r} was given more than once.", field=name)
    return validate(model, request.args.to_dict())


def parse_json(text: str | bytes) -> Any:
    """Strict JSON: NaN and infinities are refused. Raises BadInputError."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise BadInputError("The JSON is nested too deeply.") from error
    except ValueError as error:
        raise BadInputError(f"This is not JSON: {error}.") from error


def resolve_min_similarity(asked: float | None, gallery: Row | None, default: float) -> float:
    """The one place that decides it: the caller's value, else the gallery's, else the server's.

    Args:
        gallery: the row of the gallery that is searched, if one is.
        default: the setting, or the calibrated value of the model.
    """
    if asked is not None:
        return asked
    if gallery is not None and gallery["min_similarity"] is not None:
        return float(gallery["min_similarity"])
    return default


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value
