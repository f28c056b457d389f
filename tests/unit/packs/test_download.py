"""Downloads from a real server: resumed, bounded, verified."""

import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import ConfigurationError, TransientError
from deploy.models.catalogue import Download
from deploy.models.download import ATTEMPTS, fetch
from tests.unit.packs.server import FileServer, serve_files

DATA = random.Random(0).randbytes(300_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files() as told:
        told.files["pack.zip"] = DATA
        yield told


class Fetcher:
    """Fetches `DATA`, and remembers what it was told on the way."""

    def __init__(self, folder: Path, *urls: str) -> None:
        self.download = Download(
            urls=urls, bytes=len(DATA), sha256=hashlib.sha256(DATA).hexdigest(), sha256_origin="this test", unpack=True
        )
        self.folder = folder
        self.seen: list[tuple[int, int]] = []
        self.pauses: list[float] = []

    def __call__(self) -> Path:
        return fetch(
            self.download,
            self.folder,
            watch=lambda done, total: self.seen.append((done, total)),
            pause=self.pauses.append,
        )

    @property
    def part(self) -> Path:
        return self.folder / f"pack.zip.{self.download.sha256[:8]}.part"


@pytest.fixture
def fetcher(server: FileServer, tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "downloads", f"{server.url}/pack.zip")


def test_a_file_is_fetched_and_its_progress_told(fetcher: Fetcher, server: FileServer) -> None:
    assert fetcher().read_bytes() == DATA
    assert server.ranges == [""]
    assert fetcher.seen[0] == (0, len(DATA))
    assert fetcher.seen[-1] == (len(DATA), len(DATA))
    assert not fetcher.part.exists()


def test_what_is_there_already_is_not_fetched_again(fetcher: Fetcher, server: FileServer) -> None:
    first = fetcher()
    assert fetcher() == first
    assert len(server.ranges) == 1


def test_a_broken_download_goes_on_where_it_stopped(fetcher: Fetcher, server: FileServer) -> None:
    server.cut_after = [100_000, 50_000]
    assert fetcher().read_bytes() == DATA
    assert server.ranges == ["", "bytes=100000-", "bytes=150000-"]
    assert len(fetcher.pauses) == 2


def test_a_later_call_goes_on_too(fetcher: Fetcher, server: FileServer) -> None:
    fetcher.folder.mkdir()
    fetcher.part.write_bytes(DATA[:123_456])
    assert fetcher().read_bytes() == DATA
    assert server.ranges == ["bytes=123456-"]
    assert fetcher.seen[0] == (123_456, len(DATA))


def test_a_server_without_ranges_is_asked_for_everything(fetcher: Fetcher, server: FileServer) -> None:
    server.knows_ranges = False
    server.cut_after = [100_000]
    assert fetcher().read_bytes() == DATA


def test_a_complete_part_is_only_verified(fetcher: Fetcher, server: FileServer) -> None:
    fetcher.folder.mkdir()
    fetcher.part.write_bytes(DATA)
    assert fetcher().read_bytes() == DATA
    assert server.ranges == []


@pytest.mark.parametrize("size", [1000, len(DATA), len(DATA) + 1])
def test_a_spoilt_part_is_thrown_away(fetcher: Fetcher, size: int) -> None:
    fetcher.folder.mkdir()
    fetcher.part.write_bytes(b"x" * size)
    assert fetcher().read_bytes() == DATA


def test_another_content_of_the_same_size_is_refused_and_removed(fetcher: Fetcher, server: FileServer) -> None:
    server.files["pack.zip"] = bytes(len(DATA))
    with pytest.raises(
        ConfigurationError, match=f"gave a file with SHA-256 .*; {fetcher.download.sha256} was published"
    ):
        fetcher()
    assert list(fetcher.folder.iterdir()) == []


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b"<html>Sign in to this network</html>"])
def test_another_size_is_refused_before_it_is_read(fetcher: Fetcher, server: FileServer, data: bytes) -> None:
    server.files["pack.zip"] = data
    with pytest.raises(ConfigurationError, match=f"not the published file: it has {len(data)} bytes, not {len(DATA)}"):
        fetcher()


def test_a_server_that_hangs_up_without_a_byte_more_is_given_up(fetcher: Fetcher, server: FileServer) -> None:
    server.cut_after = [100_000] + [0] * 10
    with pytest.raises(TransientError):
        fetcher()
    assert fetcher.part.read_bytes() == DATA[:100_000]
    assert len(server.ranges) == ATTEMPTS
    server.cut_after = []
    assert fetcher().read_bytes() == DATA


def test_an_overloaded_server_is_asked_again(fetcher: Fetcher, server: FileServer) -> None:
    server.statuses = [503, 429, 500]
    assert fetcher().read_bytes() == DATA
    assert fetcher.pauses == sorted(fetcher.pauses)
    assert len(fetcher.pauses) == 3


def test_the_next_address_is_tried(server: FileServer, tmp_path: Path) -> None:
    fetcher = Fetcher(tmp_path, f"{server.url}/gone.zip", f"{server.url}/pack.zip")
    path = fetcher()
    assert path.read_bytes() == DATA
    assert path.name == "gone.zip"


def test_when_nobody_can_be_reached_every_address_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound and not listening: refuses
        urls = [f"http://127.0.0.1:{port}/pack.zip", f"http://127.0.0.1:{port}/mirror/pack.zip"]
        with pytest.raises(TransientError, match=r"127\.0\.0\.1 cannot be reached") as caught:
            Fetcher(tmp_path, *urls)()
    assert all(url in str(caught.value) for url in urls)
