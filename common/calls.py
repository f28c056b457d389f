"""The call desk: questions that somebody waits for, asked of the pools and answered through Redis.

Calls walk the same stages as jobs, by the same code, but not in the Celery queues: behind segments that take a second
each they would wait for many of those. Every pool process keeps a thread or two for its stage's lane of calls alone.

Redis keys:
    facepipe:calls:<lane>      list of messages (JSON) for a stage, oldest first; vanishes 60 s after the last one, or
                               when nobody waits for that one any more
    facepipe:reply:<call_id>   list with the one answer (JSON), kept for 60 s
"""

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

import redis

from common.contracts import LIVE, Annotate, CallRef, Extract, Message, Objects, Offer, Options, Stage
from common.errors import BadInputError, FacepipeError, NotFoundError, OverloadedError, TransientError

Lane = Stage | Literal["extract", "live"]
"""Where a call waits: each stage has a lane, the decode pool one more for videos, which take many seconds, and the
process of live streams one for offers."""

_LIFETIME_S = 60
_PERMANENT = {"bad_input", "bad_media", "empty_file", "truncated_media", "too_large", "no_video_stream"}

Answer = dict[str, Any]


def connect_redis(redis_url: str) -> redis.Redis:
    """A Redis client that gives up on an absent server within seconds."""
    return redis.Redis.from_url(redis_url, socket_connect_timeout=3, socket_keepalive=True, health_check_interval=15)


class CallDesk:
    """Asks the pools (API side) and answers (pool side).

    Args:
        client: see `connect_redis`.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def ask(
        self,
        blob_keys: Sequence[str],
        *,
        until: Stage,
        options: Options,
        timeout_s: float,
        upright: bool = True,
        whole_picture: bool = False,
    ) -> list[Answer | FacepipeError]:
        """Send every image through the stages up to `until` and wait for all answers.

        Args:
            upright: whether pictures are turned as their EXIF orientation says.
            whole_picture: whether a picture in which no face is found counts as one face from edge to edge.

        Returns:
            For each blob, in order, the answer of the stage or the error it raised.
        Raises:
            OverloadedError: the pools did not answer within `timeout_s`.
            TransientError: the broker is away.
        """
        deadline = time.time() + timeout_s
        ids = [uuid.uuid4().hex for _ in blob_keys]
        for call_id, blob_key in zip(ids, blob_keys, strict=True):
            ref = CallRef(call_id, until, int(deadline * 1000))
            message = Message(ref, options, blob_key, upright=upright, whole_picture=whole_picture)
            self.forward("decode", message)
        return [self._wait(call_id, deadline) for call_id in ids]

    def extract(self, blob_key: str, wanted: Extract, *, timeout_s: float) -> Answer | FacepipeError:
        """Have frames of a video put into the blob store, and wait for what is known of them.

        Returns:
            `workers.decode.extract.Extracted.to_wire`, or the error that decode raised.
        Raises:
            OverloadedError, TransientError: as `ask`.
        """
        return self._ask_one("extract", "decode", blob_key, timeout_s, extract=wanted)

    def annotate(self, blob_key: str, wanted: Annotate, *, timeout_s: float) -> Answer | FacepipeError:
        """Have a picture with faces drawn in put into the blob store, and wait until it is there.

        Returns:
            `size_bytes` of the file, or the error that decode raised.
        Raises:
            OverloadedError, TransientError: as `ask`.
        """
        return self._ask_one("decode", "decode", blob_key, timeout_s, annotate=wanted)

    def look(
        self, blob_key: str, *, until: Stage, upright: bool, objects: Objects | None, timeout_s: float
    ) -> Answer | FacepipeError:
        """Have a whole picture looked at by the caption or the segment pool, and wait for what it says.

        Args:
            upright: whether the picture is turned as its EXIF orientation says.
            objects: what the segment pool is asked for.

        Returns:
            The answer of the pool, or the error that it or decode raised.
        Raises:
            OverloadedError, TransientError: as `ask`.
        """
        return self._ask_one("decode", until, blob_key, timeout_s, upright=upright, objects=objects)

    def offer(self, sdp: str, dataset_key: str, *, until: Stage, timeout_s: float) -> Answer | FacepipeError:
        """Offer a WebRTC connection to the process of live streams, and wait for its answer.

        Args:
            dataset_key: blob by which faces are named; empty when `until` is `detect`.

        Returns:
            `sdp` and `type`, or why the offer is refused.
        Raises:
            OverloadedError, TransientError: as `ask`.
        """
        return self._ask_one(LIVE, until, dataset_key, timeout_s, offer=Offer(sdp))

    def forward(self, lane: Lane, message: Message) -> None:
        """Give a call to a stage. Raises TransientError when Redis is away."""
        ref = message.ref
        left_s = ref.deadline_ms / 1000 - time.time() if isinstance(ref, CallRef) else 0.0
        self._push(_lane_key(lane), message.to_wire(), lifetime_s=max(_LIFETIME_S, int(left_s) + 1))

    def take(self, lane: Lane, timeout_s: float) -> Answer | None:
        """The oldest message in a lane, waiting for one; None when there is none in time.

        Raises:
            TransientError: Redis is away.
        """
        return self._pop(_lane_key(lane), timeout_s)

    def answer(self, ref: CallRef, document: Answer) -> None:
        """Give the answer to whoever waits for `ref`."""
        self._push(_reply_key(ref.call_id), {"answer": document})

    def answer_error(self, ref: CallRef, error: FacepipeError) -> None:
        """Give an error instead."""
        self._push(_reply_key(ref.call_id), {"error": error.to_wire()})

    def _ask_one(
        self, lane: Lane, until: Stage, blob_key: str, timeout_s: float, **wanted: Any
    ) -> Answer | FacepipeError:
        """Send one message, with these further fields, and wait for its answer."""
        deadline = time.time() + timeout_s
        ref = CallRef(uuid.uuid4().hex, until, int(deadline * 1000))
        self.forward(lane, Message(ref, Options(), blob_key, **wanted))
        return self._wait(ref.call_id, deadline)

    def _push(self, key: str, document: dict[str, Any], lifetime_s: int = _LIFETIME_S) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.rpush(key, json.dumps(document))
                pipe.expire(key, lifetime_s)
                pipe.execute()
        except redis.RedisError as error:
            raise TransientError(f"Redis cannot be reached: {error}") from error

    def _pop(self, key: str, timeout_s: float) -> dict[str, Any] | None:
        try:
            popped = self._redis.blpop([key], timeout=timeout_s)
        except redis.TimeoutError:
            return None
        except redis.RedisError as error:
            raise TransientError(f"Redis cannot be reached: {error}") from error
        return None if popped is None else json.loads(popped[1])

    def _wait(self, call_id: str, deadline: float) -> Answer | FacepipeError:
        while (left := deadline - time.time()) > 0:
            envelope = self._pop(_reply_key(call_id), min(left, 5.0))
            if envelope is not None:
                return _open_envelope(envelope)
        raise OverloadedError("The pools did not answer in time; try again later.", "deadline_exceeded")


def _open_envelope(envelope: dict[str, Any]) -> Answer | FacepipeError:
    if "error" not in envelope:
        answer: Answer = envelope["answer"]
        return answer
    error = envelope["error"]
    kind: type[FacepipeError] = FacepipeError
    if error["code"] in _PERMANENT:
        kind = BadInputError
    elif error["code"] == "not_found":
        kind = NotFoundError
    elif error["code"] in {"unavailable", "overloaded"}:
        kind = TransientError
    return kind(error["message"], error["code"], error.get("field"))


def _lane_key(lane: Lane) -> str:
    return f"facepipe:calls:{lane}"


def _reply_key(call_id: str) -> str:
    return f"facepipe:reply:{call_id}"
