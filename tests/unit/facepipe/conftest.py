"""A real HTTP server that follows a script, for what a real one does too seldom: refusing, breaking off, waiting."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from facepipe.transport import Transport


@dataclass
class Request:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What to answer; bytes are sent as they are, and without `is_complete` the connection breaks after them."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    is_complete: bool = True

    @property
    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


class Script:
    """The server: gives the answers in turn and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _respond(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                if headers.get("transfer-encoding") == "chunked":
                    raise AssertionError("uploads must say how long they are")
                body = self.rfile.read(int(headers.get("content-length", 0)))
                script.requests.append(Request(self.command, self.path, headers, body))
                answer = script.answers.pop(0)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = len(answer.data) if answer.is_complete else len(answer.data) + 1
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(answer.data)
                self.close_connection = not answer.is_complete

            def do_GET(self) -> None:
                self._respond()

            def do_POST(self) -> None:
                self._respond()

            def do_PATCH(self) -> None:
                self._respond()

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler


@pytest.fixture
def script() -> Iterator[Script]:
    server = Script()
    yield server
    server.close()


@pytest.fixture
def pauses() -> list[float]:
    """What the transport waited, in seconds; it does not really wait."""
    return []


@pytest.fixture
def transport(script: Script, pauses: list[float]) -> Iterator[Transport]:
    made = Transport(script.url, "fp_key", timeout_s=5, retries=3, sleep=pauses.append)
    yield made
    made.close()


@pytest.fixture
def an_error() -> Callable[..., Answer]:
    """An answer in the API's one error shape."""

    def make(status: int, code: str, message: str = "No.", headers: dict[str, str] | None = None) -> Answer:
        document = {"error": {"code": code, "message": message}, "request_id": "r-1"}
        return Answer(status, document, headers or {})

    return make
