"""Pools that say what the picture tells them to, on the real broker."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.services import Services
from common.calls import CallDesk, connect_redis
from common.contracts import CallRef, Message
from common.errors import FacepipeError


@contextmanager
def answering_pools(services: Services, redis_url: str) -> Iterator[list[Message]]:
    """Takes calls off the decode lane and answers as the pools would; gives the messages taken.

    The picture says what is on it: it is the answer as JSON, or `{"error": [code, message]}`.
    """
    taken: list[Message] = []
    stop = threading.Event()
    desk = CallDesk(connect_redis(redis_url))

    def work() -> None:
        while not stop.is_set():
            wire = desk.take("decode", 0.1)
            if wire is None:
                continue
            message = Message.from_wire(wire)
            taken.append(message)
            assert isinstance(message.ref, CallRef)
            answer = json.loads(services.blobs.read(message.blob_key))
            if "error" in answer:
                desk.answer_error(message.ref, FacepipeError(answer["error"][1], answer["error"][0]))
            else:
                desk.answer(message.ref, answer)

    thread = threading.Thread(target=work)
    thread.start()
    yield taken
    stop.set()
    thread.join(timeout=30)
