"""A final document reaches its receiver through the whole stack, also when housekeeping dies."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from facepipe import Client, verify_signature
from tests.acceptance.conftest import LaunchedStack, wait_for
from tests.conftest import ROOT
from tests.receiver import receiving


def a_picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, "PNG")
    return file.getvalue()


def secret_of(stack: LaunchedStack) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "facepipe.cli", "webhooks", "secret"],
        env=stack.env | {"PYTHONPATH": str(ROOT), "FACEPIPE_ROOT": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_every_job_that_ends_is_told_to_its_receiver(home: Path, launch: Callable[..., LaunchedStack]) -> None:
    with receiving() as receiver:
        stack = launch(home, {"FACEPIPE_WEBHOOK__ALLOW": receiver.netloc}).wait_until_ready()
        receiver.statuses = [500]
        with Client(stack.url) as client:
            done = client.jobs.submit(a_picture(), webhook_url=receiver.url)
            refused, taken = receiver.wait_for(2)
            assert refused.body == taken.body
            document = json.loads(taken.body)
            assert (document["id"], document["state"], document["progress"]["fraction"]) == (done.id, "succeeded", 1.0)
            verify_signature(secret_of(stack), taken.headers["facepipe-signature"], taken.body)

            bad = client.jobs.submit(b"This is no picture. " * 20, webhook_url=receiver.url)
            document = json.loads(receiver.wait_for(3)[-1].body)
            assert (document["id"], document["state"], document["error"]["code"]) == (bad.id, "failed", "bad_media")

            housekeeping = stack.pid_of("workers.housekeeping")
            os.kill(housekeeping, signal.SIGSTOP)
            cancelled = client.jobs.submit(a_picture(), webhook_url=receiver.url)
            client.jobs.cancel(cancelled.id)
            os.kill(housekeeping, signal.SIGKILL)
            document = json.loads(receiver.wait_for(4)[-1].body)
            assert (document["id"], document["state"]) == (cancelled.id, "cancelled")

            def delivered() -> list[str]:
                return [one.id for one in client.webhooks.list(job_id=cancelled.id, state="delivered")]

            wait_for(lambda: len(delivered()) == 1, 30, stack.describe)
            (webhook_id,) = delivered()
            client.webhooks.replay(webhook_id)
            again = receiver.wait_for(5)[-1]
            assert again.headers["facepipe-delivery"] == webhook_id
            assert json.loads(again.body) == document
