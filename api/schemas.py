"""What callers may send: JSON bodies, form fields and query parameters, checked at the door."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NoReturn, Self, TypeVar
from uuid import UUID

from flask import request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from common.contracts import JobState
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
    """A gallery to create; it belongs to the server's active embedding model."""

    name: str = Field(pattern=GALLERY_NAME, description="Letters, digits, '.', '_' and '-'; at most 64.")
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


class SearchForm(Request):
    """How to search."""

    min_similarity: Similarity | None = Field(default=None, description=MIN_SIMILARITY)
    limit: int = Field(default=5, ge=1, le=100, description="Candidates per face at most.")


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
    priority: Literal["high", "normal", "low"] = "normal"
    webhook_url: Annotated[Text, Field(max_length=2000)] | None = Field(
        default=None, description="The final document is posted there, signed; http or https, no private addresses."
    )


class JobLink(JobForm):
    """A job whose media the server fetches."""

    media_url: Annotated[Text, Field(max_length=2000)] = Field(description="http or https; no private addresses.")


class PageQuery(Request):
    """Which page."""

    cursor: Text | None = Field(default=None, max_length=1000, description="`next_cursor` of the page before.")
    limit: int = Field(default=100, ge=1, le=1000, description="Items at most.")


class SubjectsQuery(PageQuery):
    """Which subjects."""

    external_id: Text | None = Field(default=None, description="Only the subject with this external id.")


class JobsQuery(PageQuery):
    """Which jobs."""

    state: JobState | None = Field(default=None, description="Only jobs in this state.")


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
