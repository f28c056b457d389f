"""Interactive calls: park the pictures, ask the pools, wait, clear up."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.uploads import Upload
from common.calls import Answer, CallDesk
from common.contracts import Options, Stage
from common.errors import BadInputError, FacepipeError, TransientError
from common.ports import BlobStore


class Pools:
    """See the module.

    Args:
        desk: asks the pools.
        blobs: where decode finds the pictures; they are gone again when the call has ended.
        model_id: the model that the pools must run.
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
        with self._parked(uploads) as keys:
            answers = self._desk.ask(keys, until=until, options=options, timeout_s=self._timeout_s)
        checked: list[Answer | BadInputError] = []
        for answer in answers:
            if isinstance(answer, FacepipeError) and not isinstance(answer, BadInputError):
                raise answer
            if not isinstance(answer, FacepipeError) and answer.get("model_id", self._model_id) != self._model_id:
                raise TransientError(
                    f"A pool runs model {answer['model_id']}, the API {self._model_id}; restart the older of them."
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

    @contextmanager
    def _parked(self, uploads: Sequence[Upload]) -> Iterator[list[str]]:
        keys = [f"calls/{uuid.uuid4().hex}" for _ in uploads]
        try:
            for key, upload in zip(keys, uploads, strict=True):
                upload.commit(key)
            yield keys
        finally:
            for key in keys:
                self._blobs.delete(key)
