"""What `facepipe gallery index` sends and prints."""

import json
from typing import Any

import pytest

from facepipe.cli import main
from tests.unit.facepipe.conftest import Answer, Script

EXACT = {"kind": "exact", "state": "ready", "recall": None}


def a_gallery(**index: Any) -> dict[str, Any]:
    return {
        "name": "staff",
        "model_id": "m",
        "subject_count": 2,
        "sample_count": 3,
        "created_at": "2026-11-21T12:00:00Z",
        "index": {"job_id": "j-1", "min_recall": 0.99, "recall": None, "measured_at": None, **index},
    }


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (EXACT, "searched exactly."),
        ({"kind": "hnsw", "state": "ready", "recall": 0.994}, "finds 99.4 % of the best matches"),
        (
            {"kind": "hnsw", "state": "refused", "recall": 0.9},
            "finds 90.0 % of the best matches, and 99.0 % were asked",
        ),
        (
            {"kind": "hnsw", "state": "building", "built": 0.25},
            "being built (25.0 %). Watch it with: facepipe watch j-1",
        ),
        ({"kind": "hnsw", "state": "failed"}, "facepipe jobs show j-1"),
    ],
)
def test_it_says_how_a_gallery_is_searched(
    script: Script, capsys: pytest.CaptureFixture[str], index: dict[str, Any], sentence: str
) -> None:
    script.answers += [Answer(body=a_gallery(**index))]
    assert main(["gallery", "index", "staff", "--url", script.url]) == 0
    assert sentence in capsys.readouterr().out
    assert (script.requests[0].method, script.requests[0].path) == ("GET", "/v1/galleries/staff")


def test_an_index_is_asked_for(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.answers += [Answer(body=a_gallery(kind="hnsw", state="building", measured_at="2026-11-21T12:00:00Z"))]
    arguments = ["gallery", "index", "staff", "--kind", "hnsw", "--min-recall", "0.95", "--json", "--url", script.url]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["index"]["state"] == "building"
    assert (script.requests[0].method, script.requests[0].path) == ("PATCH", "/v1/galleries/staff/index")
    assert json.loads(script.requests[0].body) == {"kind": "hnsw", "min_recall": 0.95}


@pytest.mark.parametrize("share", ["0", "1.5", "much"])
def test_a_recall_that_is_no_share_is_refused(script: Script, share: str) -> None:
    with pytest.raises(SystemExit):
        main(["gallery", "index", "staff", "--kind", "hnsw", "--min-recall", share, "--url", script.url])
    assert script.requests == []
