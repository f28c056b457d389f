"""Downloading from real servers on the loopback."""

import hashlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common import outbound
from common.blobs.files import FileBlobStore
from common.errors import BadInputError, CancelledError, FacepipeError, TransientError
from workers.decode.fetch import fetch

BODY = bytes(range(256)) * 2048


class Site(ThreadingHTTPServer):
    """A web server whose answers a test chooses: path to a function that answers with the handler's means."""

    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), _Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.pages: dict[str, Callable[[Any], None]] = {}
        self.asked: list[tuple[str, str]] = []
        self.release = threading.Event()
        host = f"[{address}]" if ":" in address else address
        self.netloc = f"{host}:{self.server_port}"
        self.url = f"http{'s' if context else ''}://{self.netloc}"

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        self.pages[path] = lambda handler: handler.give(status, b"", Location=to)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of these tests hang up when they please."""


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        self.server.pages[self.path](self)

    def give(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Silence."""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.release.set()
        site.shutdown()
        site.server_close()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as running:
        running.pages["/video"] = lambda handler: handler.give(200, BODY)
        yield running


class Download:
    """Fetches into a real blob store."""

    def __init__(self, folder: Path) -> None:
        self.store = FileBlobStore(folder)

    def __call__(
        self,
        url: str,
        *allowed: Site,
        max_bytes: int = 1 << 24,
        timeout_s: float = 60,
        check: Callable[[], None] = lambda: None,
    ) -> bytes:
        writer = self.store.incoming()
        allow = frozenset(site.netloc for site in allowed)
        try:
            fetch(url, writer, max_bytes=max_bytes, timeout_s=timeout_s, allow=allow, check=check)
            writer.commit("media")
        finally:
            writer.discard()
        content = self.store.read("media")
        assert writer.sha256 == hashlib.sha256(content).hexdigest()
        return content

    def refusal(self, url: str, *allowed: Site, **options: Any) -> FacepipeError:
        with pytest.raises(FacepipeError) as caught:
            self(url, *allowed, **options)
        assert list(self.store.list("media")) == []
        return caught.value


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)


def test_a_file_arrives_whole(site: Site, download: Download) -> None:
    assert download(site.url + "/video", site) == BODY
    assert site.asked == [("/video", site.netloc)]


def test_a_chunked_answer_arrives_whole(site: Site, download: Download) -> None:
    def chunked(handler: Any) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(BODY), 100_000):
            part = BODY[start : start + 100_000]
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    site.pages["/chunked"] = chunked
    assert download(site.url + "/chunked", site) == BODY


def test_a_private_server_is_not_asked_unless_allowed(site: Site, download: Download) -> None:
    error = download.refusal(site.url + "/video")
    assert (type(error), error.code, error.field) == (BadInputError, "forbidden_url", "media_url")
    assert site.netloc in error.message
    assert site.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int, site: Site, download: Download) -> None:
    site.redirect("/old", "/video", status)
    assert download(site.url + "/old", site) == BODY


def test_a_redirect_to_another_private_port_is_refused(site: Site, download: Download) -> None:
    with serving(Site()) as other:
        other.pages["/secret"] = lambda handler: handler.give(200, b"secret")
        site.redirect("/leave", other.url + "/secret")
        assert download.refusal(site.url + "/leave", site).code == "forbidden_url"
        assert other.asked == []
        assert download(site.url + "/leave", site, other) == b"secret"


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]:{port}/video",
        "http://localhost:{port}/video",
        "http://2130706433:{port}/video",
        "//0.0.0.0:{port}/video",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "http://user:password@127.0.0.1:{port}/video",
    ],
)
def test_a_redirect_to_what_is_forbidden_is_refused(target: str, site: Site, download: Download) -> None:
    site.redirect("/leave", target.format(port=site.server_port))
    assert download.refusal(site.url + "/leave", site).code == "forbidden_url"
    assert [path for path, _ in site.asked] == ["/leave"]


def test_redirects_end(site: Site, download: Download) -> None:
    site.redirect("/loop", "/loop")
    error = download.refusal(site.url + "/loop", site)
    assert (type(error), error.code) == (BadInputError, "fetch_failed")
    assert len(site.asked) == 6
    site.pages["/nowhere"] = lambda handler: handler.give(302, b"")
    assert download.refusal(site.url + "/nowhere", site).code == "fetch_failed"


def test_the_address_that_was_checked_is_the_one_connected_to(
    site: Site, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers differently the second time (DNS rebinding) is not asked twice."""
    real, asked = socket.getaddrinfo, []

    def answer(host: Any, *rest: Any, **options: Any) -> Any:
        if host != "media.test":
            return real(host, *rest, **options)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.99", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    site.netloc = f"media.test:{site.server_port}"
    assert download(f"http://{site.netloc}/video", site) == BODY
    assert asked == ["media.test"]
    assert site.asked == [("/video", site.netloc)]


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    site: Site, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _, *rest, **options: real("8.8.8.8", *rest, **options) + real("127.0.0.1", *rest, **options),
    )
    assert download.refusal(f"http://media.test:{site.server_port}/video").code == "forbidden_url"
    assert site.asked == []


def test_a_host_that_does_not_exist_fails(download: Download) -> None:
    error = download.refusal("http://media.invalid/video")
    assert error.code == "fetch_failed"


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_file_beyond_the_limit_is_refused(is_declared: bool, site: Site, download: Download) -> None:
    def undeclared(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(BODY)

    if not is_declared:
        site.pages["/video"] = undeclared
    error = download.refusal(site.url + "/video", site, max_bytes=len(BODY) - 1)
    assert (type(error), error.code) == (BadInputError, "too_large")
    assert download(site.url + "/video", site, max_bytes=len(BODY)) == BODY


@pytest.mark.parametrize(
    ("status", "kind"),
    [(204, BadInputError), (403, BadInputError), (404, BadInputError), (429, TransientError), (503, TransientError)],
)
def test_an_answer_that_is_no_file_fails(
    status: int, kind: type[FacepipeError], site: Site, download: Download
) -> None:
    site.pages["/video"] = lambda handler: handler.give(status, b"")
    error = download.refusal(site.url + "/video", site)
    assert (type(error), error.code) == (kind, "fetch_failed")
    assert str(status) in error.message


def test_a_compressed_answer_is_refused(site: Site, download: Download) -> None:
    site.pages["/video"] = lambda handler: handler.give(200, b"x", Content_Encoding="gzip")
    assert download.refusal(site.url + "/video", site).code == "fetch_failed"


def test_a_download_that_breaks_off_is_tried_again(site: Site, download: Download) -> None:
    site.pages["/video"] = lambda handler: handler.give(200, BODY, Content_Length=str(len(BODY) + 1))
    error = download.refusal(site.url + "/video", site)
    assert (type(error), error.code) == (TransientError, "fetch_failed")


def test_a_server_that_is_away_or_speaks_nonsense_is_tried_again(site: Site, download: Download) -> None:
    site.pages["/nonsense"] = lambda handler: handler.wfile.write(b"nonsense\r\n")
    error = download.refusal(site.url + "/nonsense", site)
    assert (type(error), error.code) == (TransientError, "fetch_failed")
    closed = Site()
    closed.server_close()
    error = download.refusal(closed.url + "/video", closed)
    assert (type(error), error.code) == (TransientError, "fetch_failed")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.0 200 OK\r\nX: ", b"HTTP/1.0 200 OK\r\n\r\nbegin"])
def test_a_server_that_stops_talking_is_left(sent: bytes, site: Site, download: Download) -> None:
    def stall(handler: Any) -> None:
        handler.wfile.write(sent)
        handler.server.release.wait()

    site.pages["/video"] = stall
    error = download.refusal(site.url + "/video", site, timeout_s=0.5)
    assert (type(error), error.code) == (TransientError, "fetch_failed")
    assert "longer than 0.5 s" in error.message


def test_a_download_stops_when_the_work_is_cancelled(site: Site, download: Download) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if site.asked:
            raise CancelledError("cancelled")

    site.pages["/video"] = lambda handler: handler.server.release.wait()
    with pytest.raises(CancelledError):
        download(site.url + "/video", site, check=check)
    assert calls > 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate with its key for localhost."""
    path = tmp_path / "localhost.pem"
    names = "subjectAltName=DNS:localhost"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=localhost", "-addext", names, "-keyout", str(path), "-out", str(tmp_path / "public.pem")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed; it makes the certificate of this test")
    path.write_bytes(path.read_bytes() + (tmp_path / "public.pem").read_bytes())
    return path


def test_a_certificate_must_be_trusted_and_fit_the_host(
    certificate: Path, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(Site(context=context)) as site:
        site.pages["/video"] = lambda handler: handler.give(200, BODY)
        by_name, by_address = f"localhost:{site.server_port}", site.netloc
        site.netloc = by_name
        outbound._tls.cache_clear()
        error = download.refusal(f"https://{by_name}/video", site)
        assert (type(error), error.code) == (BadInputError, "fetch_failed")
        assert "certificate of localhost is not valid" in error.message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.parent / "public.pem"))
        outbound._tls.cache_clear()
        assert download(f"https://{by_name}/video", site) == BODY
        site.netloc = by_address
        Path(download.store.path("media")).unlink()
        error = download.refusal(f"https://{by_address}/video", site)
        assert "certificate of 127.0.0.1 is not valid" in error.message
    outbound._tls.cache_clear()
