"""A camera with an RTSP address: a small server that sends a video again and again, as RTP inside the connection."""

import socket
import socketserver
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.embedded.redis import free_port
from tests.media import encoder_program

_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track0\r\n"


class Camera(socketserver.ThreadingTCPServer):
    """A context manager that listens on loopback.

    Args:
        path: the video.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.path = path
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address, with a password in it."""
        return f"rtsp://admin:secret@127.0.0.1:{self.server_address[1]}/door"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(  # type: ignore[override]
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class _Connection(socketserver.StreamRequestHandler):
    server: Camera

    def handle(self) -> None:
        while request := self.rfile.readline().decode().split():
            headers = self._headers()
            method = request[0]
            self.server.asked.append(method)
            answer = {"CSeq": headers["cseq"]}
            body = ""
            if method == "OPTIONS":
                answer["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
            elif method == "DESCRIBE":
                answer |= {"Content-Type": "application/sdp", "Content-Length": str(len(_SDP))}
                body = _SDP
            elif method == "SETUP":
                answer |= {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
            elif method == "PLAY":
                answer["Session"] = "1"
            lines = ["RTSP/1.0 200 OK", *(f"{name}: {value}" for name, value in answer.items()), "", body]
            self.wfile.write("\r\n".join(lines).encode())
            if method == "PLAY":
                with suppress(OSError):
                    self._play()
                return

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _play(self) -> None:
        """Until the client goes, or ffmpeg is ended."""
        port = free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", port))
            packets.settimeout(10)
            options = "-an -c:v mjpeg -q:v 4 -huffman default -force_duplicated_matrix 1 -pix_fmt yuvj420p -f rtp"
            command = [encoder_program(), "-v", "error", "-re", "-stream_loop", "-1", "-i", str(self.server.path)]
            command += [*options.split(), f"rtp://127.0.0.1:{port}"]
            program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            try:
                while True:
                    packet = packets.recv(65_535)
                    self.wfile.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
            finally:
                program.kill()
                program.wait()
