"""Receiving, listing and replaying webhooks from the client's side."""

import json
import time
from pathlib import Path

import pytest

from facepipe import Client, FacepipeError, verify_signature
from facepipe.cli import main
from facepipe.errors import NotFoundError, SignatureError
from tests.unit.facepipe.conftest import Answer, Script
from workers.housekeeping.webhooks import sign

BODY = b'{"id":"j"}'
WEBHOOK = {
    "id": "w",
    "job_id": "j",
    "url": "https://example.org/",
    "state": "failed",
    "attempts": 3,
    "last_error": "No.",
}


def test_a_signature_is_what_openssl_makes_of_time_and_body() -> None:
    mac = "a58a01ca61e3344068a8b9cb3c00623b5a5db42c1f4f406e920ac07782441de3"
    assert sign("secret", BODY, 1700000000) == f"t=1700000000,v1={mac}"


def test_what_the_server_signs_now_is_accepted() -> None:
    verify_signature("secret", sign("secret", BODY, int(time.time())), BODY)
    verify_signature("secret", sign("secret", b"", int(time.time())), b"")


def test_one_of_several_signatures_is_enough() -> None:
    header = sign("secret", BODY, int(time.time()))
    verify_signature("secret", f"{header},v1={'0' * 64}, v2=x", BODY)
    verify_signature("secret", header.replace("v1=", f"v1={'0' * 64},v1="), BODY)


@pytest.mark.parametrize(
    "header",
    ["", ",", "t=", "t=1", "v1=00", "t=x,v1=00", "t=1,t=2,v1=00", "t=-1,v1=00", "t=1e9,v1=00", "t=²,v1=00", "t=1,v1=é"],
)
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(SignatureError):
        verify_signature("secret", header, BODY)


def test_another_secret_body_or_time_is_refused() -> None:
    now = int(time.time())
    header = sign("secret", BODY, now)
    for secret, given, body in (
        ("other", header, BODY),
        ("secret", header, BODY + b" "),
        ("secret", header.replace(f"t={now}", f"t={now + 1}"), BODY),
        ("secret", header[:-1], BODY),
    ):
        with pytest.raises(FacepipeError, match="does not fit"):
            verify_signature(secret, given, body)


@pytest.mark.parametrize("off_s", [-400, 400])
def test_a_signature_of_another_time_is_refused_unless_tolerated(off_s: int) -> None:
    header = sign("secret", BODY, int(time.time()) + off_s)
    with pytest.raises(SignatureError, match="300 s off"):
        verify_signature("secret", header, BODY)
    verify_signature("secret", header, BODY, tolerance_s=1000)


def test_a_job_carries_the_webhook_that_is_asked_for(script: Script) -> None:
    script.answers = [Answer(202, {"id": "j", "state": "queued"})]
    with Client(script.url) as client:
        client.jobs.submit("https://example.org/a.mp4", webhook_url="https://example.org/hook")
    assert json.loads(script.requests[0].body) == {
        "media_url": "https://example.org/a.mp4",
        "webhook_url": "https://example.org/hook",
    }


def test_webhooks_are_listed_and_replayed(script: Script) -> None:
    script.answers = [
        Answer(body={"items": [WEBHOOK], "next_cursor": None}),
        Answer(body=WEBHOOK | {"state": "pending", "next_at": "2026-11-20T19:00:00Z"}),
        Answer(404, {"error": {"code": "not_found", "message": "There is no webhook x."}}),
    ]
    with Client(script.url) as client:
        (webhook,) = client.webhooks.list(state="failed", job_id="j")
        assert (webhook.state, webhook.attempts, webhook.next_at) == ("failed", 3, None)
        assert client.webhooks.replay("w").next_at is not None
        with pytest.raises(NotFoundError):
            client.webhooks.replay("x")
    assert script.requests[0].path == "/v1/webhooks?state=failed&job=j"
    assert (script.requests[1].method, script.requests[1].path) == ("POST", "/v1/webhooks/w/replay")


def test_the_command_line_lists_and_replays(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.answers = [Answer(body={"items": [WEBHOOK], "next_cursor": None}) for _ in range(2)]
    assert main(["webhooks", "list", "--state", "failed", "--url", script.url]) == 0
    assert "No." in capsys.readouterr().out
    assert main(["webhooks", "list", "--json", "--url", script.url]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "w"
    script.answers = [Answer(body=WEBHOOK | {"state": "pending"}) for _ in range(2)]
    assert main(["webhooks", "replay", "w", "--url", script.url]) == 0
    assert "https://example.org/" in capsys.readouterr().out
    assert main(["webhooks", "replay", "w", "--json", "--url", script.url]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "pending"


def test_the_secret_is_shown_on_the_servers_machine_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FACEPIPE_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["webhooks", "secret"]) == 2
    assert "FACEPIPE_ROOT" in capsys.readouterr().err
