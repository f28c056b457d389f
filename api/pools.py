"""Interactive calls: park the pictures, ask the pools, wait, clear up."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from api.uploads import Upload
from common.calls import Answer, CallDesk
from common.contracts import Annotate, Extract, Objects, Options, Stage
from common.errors import BadInputError, FacepipeError, TransientError
from common.ports import BlobStore


class Extraction:
    """Frames of a video as pictures, one behind the other in the blob store until `close`.

    Args:
        document: `workers.decode.extract.Extracted.to_wire`.
        blobs, key: where they are.
    """

    def __init__(self, document: Answer, blobs: BlobStore, key: str) -> None:
        self.document = document
        self._blobs = blobs
        self._key = key
        self._file = blobs.open(key)

    def pictures(self) -> Iterator[bytes]:
        """One after the other; once."""
        start = 0
        for end in self.document["ends"]:
            yield self._file.read(end - start)
            start = end

    def close(self) -> None:
        """Throw them away."""
        self._file.close()
        self._blobs.delete(self._key)


class Pools:
    """See the module.

    Args:
        desk: asks the pools.
        blobs: where decode finds the pictures; they are gone again when the call has ended.
        model_id: the model that holds where a call does not say.
        timeout_s: how long one call may wait.
    """

    def __init__(self, desk: CallDesk, blobs: BlobStore, *, model_id: str, timeout_s: float) -> None:
        self._desk = desk
        self._blobs = blobs
        self._model_id = model_id
        self._timeout_s = timeout_s

    def ask(self, uploads: Sequence[Upload], *, until: Stage, options: Options) -> list[Answer | BadInputError]:
        """For each picture, in order, the answer of the stage `until`, or why the picture is refused.

        Raises:
            FacepipeError: anything that is not a picture's own fault, such as OverloadedError or TransientError.
        """
        return self._ask([upload.commit for upload in uploads], until=until, options=options)

    def ask_files(
        self,
        files: Sequence[bytes],
        *,
        until: Stage,
        options: Options,
        upright: bool = True,
        whole_picture: bool = False,
    ) -> list[Answer | BadInputError]:
        """The same for pictures that did not come as uploads.

        Args:
            files: whole files of any kind of picture.
            upright: whether they are turned as their EXIF orientation says.
            whole_picture: whether one in which no face is found counts as one face from edge to edge.
        """
        parkers = [partial(self._park, data) for data in files]
        return self._ask(parkers, until=until, options=options, upright=upright, whole_picture=whole_picture)

    def extract(self, video: Callable[[str], None], wanted: Extract, *, timeout_s: float) -> "Extraction":
        """Have frames of a video made into pictures.

        Args:
            video: stores the video under the key that it is given.
            wanted: `into` is chosen here.

        Returns:
            The pictures; whoever has them closes them.
        Raises:
            FacepipeError: as `ask`; a BadInputError says what is wrong with the video.
        """
        into = f"calls/{uuid.uuid4().hex}"
        try:
            with self._parked([video]) as (key,):
                answer = self._desk.extract(key, replace(wanted, into=into), timeout_s=timeout_s)
            if isinstance(answer, FacepipeError):
                raise answer
            return Extraction(answer, self._blobs, into)
        except BaseException:
            self._blobs.delete(into)
            raise

    def annotate(self, picture: bytes, faces: Sequence[Mapping[str, Any]]) -> bytes:
        """Have faces drawn into a picture.

        Args:
            picture: the whole file.
            faces: `box` and `landmarks` as in an answer about this picture, and `label`.

        Returns:
            A JPEG file of the size of the upright picture.
        Raises:
            FacepipeError: as `ask`; a BadInputError says what is wrong with the picture.
        """
        parkers = [partial(self._park, picture), partial(self._park, json.dumps(faces).encode())]
        into = f"calls/{uuid.uuid4().hex}"
        try:
            with self._parked(parkers) as (key, faces_key):
                answer = self._desk.annotate(key, Annotate(faces_key, into), timeout_s=self._timeout_s)
            if isinstance(answer, FacepipeError):
                raise answer
            return self._blobs.read(into)
        finally:
            self._blobs.delete(into)

    def caption(self, picture: bytes) -> Answer:
        """What the caption pool says of a picture, which is not turned by its EXIF orientation.

        Args:
            picture: the whole file.

        Returns:
            `caption`, and `width_px` and `height_px` of the picture.
        Raises:
            FacepipeError: as `ask`; a BadInputError says what is wrong with the picture.
        """
        return self._look(picture, until="caption", upright=False, objects=None)

    def find_objects(self, picture: bytes, wanted: Objects) -> Answer:
        """What the segment pool finds in a picture, turned upright.

        Args:
            picture: the whole file.

        Returns:
            `objects`, best first, each with `class`, `score` and `box`; `mask_jpeg`, base64, and `width_px` and
            `height_px` of the picture.
        Raises:
            FacepipeError: as `caption`.
        """
        return self._look(picture, until="segment", upright=True, objects=wanted)

    def offer(self, sdp: str, dataset: bytes | None) -> Answer:
        """Offer a WebRTC connection to the process of live streams.

        Args:
            dataset: the file by which faces are named; None: they are only found.

        Returns:
            `sdp` and `type` of its answer.
        Raises:
            FacepipeError: as `ask`; a BadInputError says what is wrong with the offer.
        """
        parkers = [] if dataset is None else [partial(self._park, dataset)]
        with self._parked(parkers) as keys:
            until: Stage = "embed" if keys else "detect"
            answer = self._desk.offer(sdp, "".join(keys), until=until, timeout_s=self._timeout_s)
        if isinstance(answer, FacepipeError):
            raise answer
        return answer

    def _look(self, picture: bytes, *, until: Stage, upright: bool, objects: Objects | None) -> Answer:
        with self._parked([partial(self._park, picture)]) as (key,):
            answer = self._desk.look(key, until=until, upright=upright, objects=objects, timeout_s=self._timeout_s)
        if isinstance(answer, FacepipeError):
            raise answer
        return answer

    def _ask(
        self,
        parkers: Sequence[Callable[[str], None]],
        *,
        until: Stage,
        options: Options,
        upright: bool = True,
        whole_picture: bool = False,
    ) -> list[Answer | BadInputError]:
        with self._parked(parkers) as keys:
            answers = self._desk.ask(
                keys,
                until=until,
                options=options,
                timeout_s=self._timeout_s,
                upright=upright,
                whole_picture=whole_picture,
            )
        checked: list[Answer | BadInputError] = []
        for answer in answers:
            if isinstance(answer, FacepipeError) and not isinstance(answer, BadInputError):
                raise answer
            wanted = options.model_id or self._model_id
            if not isinstance(answer, FacepipeError) and answer.get("model_id", wanted) != wanted:
                raise TransientError(
                    f"A pool answered with model {answer['model_id']} instead of {wanted}; restart the older of them."
                )
            checked.append(answer)
        return checked

    def ask_each(self, uploads: Sequence[Upload], *, until: Stage, options: Options) -> list[Answer]:
        """The same where every picture is needed.

        Raises:
            BadInputError: a picture is refused; `field` is the part that it came in.
        """
        answers: list[Answer] = []
        for upload, answer in zip(uploads, self.ask(uploads, until=until, options=options), strict=True):
            if isinstance(answer, BadInputError):
                raise BadInputError(answer.message, answer.code, upload.part)
            answers.append(answer)
        return answers

    def _park(self, data: bytes, key: str) -> None:
        self._blobs.put(key, data)

    @contextmanager
    def _parked(self, parkers: Sequence[Callable[[str], None]]) -> Iterator[list[str]]:
        keys = [f"calls/{uuid.uuid4().hex}" for _ in parkers]
        try:
            for key, park in zip(keys, parkers, strict=True):
                park(key)
            yield keys
        finally:
            for key in keys:
                self._blobs.delete(key)
