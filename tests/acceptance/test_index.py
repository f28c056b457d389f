"""A gallery on a real stack gets an approximate index from the command line, and gives it up again."""

from pathlib import Path

import pytest

from facepipe import Client
from facepipe.cli import main
from tests.acceptance.conftest import LaunchedStack


def test_a_gallery_is_searched_approximately_and_exactly_again(
    stack: LaunchedStack, shared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = shared_dir / "data" / "tae-frame-00180.jpg"
    command = ["gallery", "index", "regulars", "--url", stack.url]
    with Client(stack.url) as client:
        client.galleries.create("regulars")
        try:
            client.subjects.enroll("regulars", "Tae", [frame])
            exact = client.search("regulars", frame, limit=1)
            assert main([*command, "--kind", "hnsw", "--wait"]) == 0
            gallery = client.galleries.get("regulars")
            assert gallery.index is not None
            assert (gallery.index.kind, gallery.index.state, gallery.index.recall) == ("hnsw", "ready", 1.0)
            assert client.search("regulars", frame, limit=1) == exact
            assert main(command) == 0
            assert "finds 100.0 % of the best matches" in capsys.readouterr().out
            assert main([*command, "--kind", "exact"]) == 0
            assert client.search("regulars", frame, limit=1) == exact
        finally:
            client.galleries.delete("regulars")
