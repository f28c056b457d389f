"""The call desk: questions that somebody waits for, asked of the pools and answered through Redis.

Redis keys:
    facepipe:reply:<call_id>   list with the one answer (JSON), kept for 60 s
"""

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

import redis

from common.celery_app import Dispatcher
from common.contracts import TASK_DECODE, CallRef, Message, Options, Priority, Stage
from common.errors import BadInputError, FacepipeError, NotFoundError, OverloadedError, TransientError

_REPLY_LIFETIME_S = 60
_PERMANENT = {"bad_input", "bad_media", "empty_file", "truncated_media", "too_large", "no_video_stream"}

Answer = dict[str, Any]


def connect_redis(redis_url: str) -> redis.Redis:
    """A Redis client that gives up on an absent server within seconds."""
    return redis.Redis.from_url(redis_url, socket_connect_timeout=3, socket_keepalive=True, health_check_interval=15)


class CallDesk:
    """Asks the pools (API side) and answers (pool side).

    Args:
        client: see `connect_redis`.
        dispatcher: publishes the question.
    """

    def __init__(self, client: redis.Redis, dispatcher: Dispatcher) -> None:
        self._redis = client
        self._dispatcher = dispatcher

    def ask(
        self, blob_keys: Sequence[str], *, until: Stage, options: Options, timeout_s: float
    ) -> list[Answer | FacepipeError]:
        """Send every image through the stages up to `until` and wait for all answers.

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
            self._dispatcher.send(TASK_DECODE, Message(ref, options, blob_key, Priority.CALL))
        return [self._wait(call_id, deadline) for call_id in ids]

    def answer(self, ref: CallRef, document: Answer) -> None:
        """Give the answer to whoever waits for `ref`."""
        self._push(ref, {"answer": document})

    def answer_error(self, ref: CallRef, error: FacepipeError) -> None:
        """Give an error instead."""
        self._push(ref, {"error": error.to_wire()})

    def _push(self, ref: CallRef, envelope: dict[str, Any]) -> None:
        key = _reply_key(ref.call_id)
        try:
            with self._redis.pipeline() as pipe:
                pipe.rpush(key, json.dumps(envelope))
                pipe.expire(key, _REPLY_LIFETIME_S)
                pipe.execute()
        except redis.RedisError as error:
            raise TransientError(f"The answer cannot be delivered: {error}") from error

    def _wait(self, call_id: str, deadline: float) -> Answer | FacepipeError:
        key = _reply_key(call_id)
        while (left := deadline - time.time()) > 0:
            try:
                popped = self._redis.blpop([key], timeout=min(left, 5.0))
            except redis.TimeoutError:
                continue
            except redis.RedisError as error:
                raise TransientError(f"The broker cannot be reached: {error}") from error
            if popped is not None:
                return _open_envelope(json.loads(popped[1]))
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


def _reply_key(call_id: str) -> str:
    return f"facepipe:reply:{call_id}"
