"""A real web server of files, which resumes as others do and can be told to misbehave."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """What is served, and what was asked for.

    Attributes:
        url: its root, without a slash at the end.
        files: path, without the first slash, to content.
        knows_ranges: whether it answers a part with a part.
        cut_after: bytes after which it hangs up, once for each number, in order.
        statuses: answers to give instead, once for each, in order.
        ranges: the Range header of every request, "" where there was none.
        can_go_on: while it is cleared, answers stop after their first half.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    knows_ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    can_go_on: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve_files() -> Iterator[FileServer]:
    """A server on a free port of this machine."""
    told = FileServer()
    told.can_go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.ranges.append(self.headers.get("Range", ""))
            if told.statuses:
                self.send_error(told.statuses.pop(0))
                return
            data = told.files.get(self.path.lstrip("/"))
            if data is None:
                self.send_error(404)
                return
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if told.knows_ranges else None
            start = int(asked[1]) if asked else 0
            if asked and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            body = data[start:]
            if told.cut_after:
                self.wfile.write(body[: told.cut_after.pop(0)])
                self.close_connection = True
                return
            if not told.can_go_on.is_set():
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                told.can_go_on.wait(60)
                return
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        told.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield told
        finally:
            told.can_go_on.set()
            server.shutdown()
            thread.join()
