"""The album: photographs of people in a gallery, and whose is nearest to a face.

Two photographs are as far apart as their embeddings: d = sqrt(2 - 2 cos), from 0 to 2.
"""

import hashlib
import math
import uuid
from dataclasses import dataclass, replace
from typing import Final

from api.compat.nearest_photo.names import check_name, person_of
from api.enrolment import check_model, make_sample
from api.largest_face import largest_face
from api.schemas import resolve_min_similarity
from api.services import Services
from common.calls import Answer
from common.contracts import Options, Stage
from common.errors import BadInputError, ConflictError, NotFoundError, TransientError
from common.store.audit import Entry, auditing, current
from common.store.paging import Row
from common.store.photos import Photos

#: The gallery in which the photographs are, also for the calls of version 1.
GALLERY: Final = "compat-004"


@dataclass(frozen=True, slots=True)
class Nearest:
    """What was found for a picture.

    Attributes:
        name: of the person; None where nobody is near enough.
        distance: to the nearest photograph of all, in [0, 2]; None without one, or without a face.
        subject_id: of the person named.
        width_px, height_px: of the picture, upright.
    """

    name: str | None
    distance: float | None
    subject_id: str | None
    width_px: int
    height_px: int


class Album:
    """See the module.

    Args:
        services: see there.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._photos = Photos(services.database)

    def register(self, name: str, picture: bytes, *, is_file: bool = False) -> Answer:
        """Enrol a picture under a name, in place of the one that had it.

        Of several faces the largest counts. Whatever shows a face is taken: enrolment's bounds for size, sharpness and
        pose are for those who choose their pictures, and these clients cannot.

        Args:
            picture: a whole file.
            is_file: it is a file of the watched folder.

        Returns:
            What the pools say of the picture.
        Raises:
            BadInputError: a name that is not allowed, no picture, or no face in it.
            FacepipeError: the pools or the database are away.
        """
        person = person_of(check_name(name))
        gallery = self._gallery()
        model_id = check_model(self._services, gallery)
        answer = self._ask(picture, Options(model_id=model_id), until="embed")
        face = largest_face(answer["faces"], "body")
        subject_id = self._photos.find_or_make_subject(GALLERY, person)
        digest = hashlib.sha256(picture).hexdigest()
        sample, crop = make_sample(face, gallery, subject_id, digest)
        blobs = self._services.blobs
        try:
            blobs.put(sample.crop_key, crop)
            is_new, removed = self._photos.put(
                GALLERY, subject_id, model_id, name, sample, file_sha256=digest if is_file else None
            )
        except TransientError:  # the row may be there although the answer was lost: its crop must stay
            raise
        except Exception:
            blobs.delete(sample.crop_key)
            raise
        for crop_key in removed if is_new else [*removed, sample.crop_key]:
            blobs.delete(crop_key)
        return answer

    def register_file(self, name: str, picture: bytes) -> bool:
        """The same for a file of the watched folder, unless these very bytes were taken up under this name before.

        Returns:
            Whether it was enrolled now.
        """
        self._gallery()
        digest = hashlib.sha256(picture).hexdigest()
        if self._photos.file_sha256(GALLERY, person_of(check_name(name)), name) == digest:
            return False
        self.register(name, picture, is_file=True)
        return True

    def find(self, picture: bytes) -> Nearest:
        """Whose photograph is nearest to the largest face of a picture.

        Raises:
            BadInputError: no picture.
            FacepipeError: the pools or the database are away.
        """
        gallery = self._gallery()
        model_id = check_model(self._services, gallery)
        options = Options(gallery_id=str(gallery["id"]), model_id=model_id, limit=1)
        answer = self._ask(picture, options, until="match")
        size = answer["width_px"], answer["height_px"]
        candidates = largest_face(answer["faces"], "body")["candidates"] if answer["faces"] else []
        if not candidates:
            return Nearest(None, None, None, *size)
        subject_id, similarity = candidates[0]["subject_id"], candidates[0]["similarity"]
        bound = resolve_min_similarity(None, gallery, self._services.models.min_similarity(model_id))
        subject = self._services.galleries.subjects_by_ids([subject_id]).get(subject_id)
        if similarity < bound or subject is None:
            return Nearest(None, distance_of(similarity), None, *size)
        return Nearest(subject["name"], distance_of(similarity), subject_id, *size)

    def _ask(self, picture: bytes, options: Options, *, until: Stage) -> Answer:
        (answer,) = self._services.pools.ask_files([picture], until=until, options=options, whole_picture=True)
        if isinstance(answer, BadInputError):
            raise answer
        return answer

    def _gallery(self) -> Row:
        try:
            return self._services.galleries.get(GALLERY)
        except NotFoundError:
            return self._make_gallery()

    def _make_gallery(self) -> Row:
        call = current()
        entry = Entry("create_gallery", "", "") if call is None else replace(call, action="create_gallery")
        try:
            with auditing(entry):
                return self._services.galleries.create(str(uuid.uuid4()), GALLERY, self._services.model_id, None)
        except ConflictError:  # somebody was faster
            return self._services.galleries.get(GALLERY)


def distance_of(similarity: float) -> float:
    """Euclidean distance of two vectors of unit length with this cosine."""
    return math.sqrt(max(0.0, 2.0 - 2.0 * similarity))
