"""Results of jobs: detections, tracks, appearances and their pictures."""

from itertools import islice

from flask import Response, request

from api.documents.results import Appearance, Appearances, Detection, DetectionPage, Track, TrackPage
from api.documents.shapes import page_of
from api.operations import Routes
from api.routes.pictures import jpeg
from api.schemas import DetectionsQuery, PageQuery
from api.services import services
from api.streams import ndjson
from common.errors import BadInputError

routes = Routes("results")

_JSON, _NDJSON = "application/json", "application/x-ndjson"
_TRACK = "/v1/jobs/{job}/tracks/{track}"


@routes.get(
    "/v1/jobs/{job}/detections",
    query=DetectionsQuery,
    answer=DetectionPage,
    media_types=(_NDJSON,),
    errors=("not_found", "not_acceptable"),
)
def list_detections(job: str, query: DetectionsQuery) -> DetectionPage | Response:
    """Every face in every sampled frame.

    A page as JSON, or with `Accept: application/x-ndjson` all of them, one a line.
    """
    here = services()
    wanted = request.accept_mimetypes.best_match([_JSON, _NDJSON])
    if wanted is None and request.headers.get("Accept"):
        raise BadInputError(f"Accept {_JSON} or {_NDJSON}.", "not_acceptable", "Accept")
    if wanted != _NDJSON:
        page = here.results.detections(job, cursor=query.cursor, limit=query.limit or 100)
        return DetectionPage(**page_of(page, Detection.from_row))
    here.results.detections(job, cursor=query.cursor, limit=1)  # an error must come before the first line
    rows = islice(here.results.all_detections(job, cursor=query.cursor), query.limit)
    return Response(ndjson(map(Detection.from_row, rows)), mimetype=_NDJSON)


@routes.get("/v1/jobs/{job}/tracks", query=PageQuery, answer=TrackPage, errors=("not_found",))
def list_tracks(job: str, query: PageQuery) -> TrackPage:
    """Faces followed over frames, and who each is; empty until the job has finished."""
    page = services().results.tracks(job, cursor=query.cursor, limit=query.limit)
    return TrackPage(**page_of(page, lambda row: Track.from_row(row, job)))


@routes.get("/v1/jobs/{job}/appearances", answer=Appearances, errors=("not_found",))
def list_appearances(job: str) -> Appearances:
    """Who appears when; empty until the job has finished."""
    return Appearances(items=[Appearance.from_row(row) for row in services().results.appearances(job)])


@routes.get(_TRACK + "/thumbnail.jpg", media_types=("image/jpeg",), errors=("not_found",))
def get_thumbnail(job: str, track: int) -> Response:
    """A picture of the one in a track."""
    return jpeg(services().blobs, f"jobs/{job}/tracks/{track}.thumb.jpg")


@routes.get(_TRACK + "/crops/{crop}.jpg", media_types=("image/jpeg",), errors=("not_found",))
def get_track_crop(job: str, track: int, crop: int) -> Response:
    """An aligned crop of a track, 0 is the best."""
    return jpeg(services().blobs, f"jobs/{job}/tracks/{track}.{crop}.jpg")
