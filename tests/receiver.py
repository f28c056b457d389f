"""A receiver of webhooks: a real HTTP server on the loopback that follows a script."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A webhook as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers with `statuses` in turn, then with 200.

    Attributes:
        may_answer: cleared, every request is kept waiting.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.netloc = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.netloc}/hook?from=facepipe"
        self.statuses: list[int] = []
        self.received: list[Received] = []
        self.arrived = threading.Condition()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def wait_for(self, count: int) -> list[Received]:
        """What arrived, once it is `count` requests."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, timeout=60), self.received
            return list(self.received)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Senders may hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.arrived:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.received.append(Received(self.path, headers, body))
            status = self.server.statuses.pop(0) if self.server.statuses else 200
            self.server.arrived.notify_all()
        self.server.may_answer.wait(timeout=60)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://{self.server.netloc}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Silence."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        receiver.shutdown()
        receiver.server_close()
        thread.join()
