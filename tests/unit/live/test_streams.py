"""The stream routes of predecessor 001, on a real database and broker; the process that answers is a lane here."""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from api.compat.mount import Mount, make_mount
from api.services import EXTENSION, Services
from common.contracts import LIVE, CallRef, Message
from common.errors import BadInputError, OverloadedError
from common.settings import Settings
from common.stage.lane import CallLane
from tests.unit.api.conftest import write_pack

PORT = 5000
DATASET = json.dumps([["anna", ",".join(["0.5"] * 512)]]).encode()


@pytest.fixture
def mount(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Mount]:
    write_pack(tmp_path / "models" / "test-pack")
    settings = Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": database_url,
            "redis_url": redis_url,
            "model_pack": "test-pack",
            "compat": "001",
        }
    )
    mount = make_mount(settings)
    yield mount
    services_of(mount).database.close()


def services_of(mount: Mount) -> Services:
    services: Services = mount.apps[PORT][0].extensions[EXTENSION]
    return services


class Streams:
    """What `python -m workers.live` would be asked, and one answer to all of it."""

    def __init__(self, here: Services) -> None:
        self.answer: dict[str, Any] | BadInputError | OverloadedError = {"sdp": "v=0 answer", "type": "answer"}
        self.offers: list[Message] = []
        self.datasets: list[bytes] = []
        self._here = here
        self._desk = here.pools._desk
        self.lane = CallLane(self._desk, LIVE, self._handle, threads=1)
        here.workers.seen("live@here.1", LIVE, threads=4, device="cpu", model_ids=[])

    def _handle(self, wire: Mapping[str, Any]) -> None:
        message = Message.from_wire(wire)
        self.offers.append(message)
        self.datasets += [self._here.blobs.read(message.blob_key)] if message.blob_key else []
        assert isinstance(message.ref, CallRef)
        if isinstance(self.answer, dict):
            self._desk.answer(message.ref, self.answer)
        else:
            self._desk.answer_error(message.ref, self.answer)


@pytest.fixture
def streams(mount: Mount) -> Iterator[Streams]:
    streams = Streams(services_of(mount))
    streams.lane.start()
    yield streams
    streams.lane.stop()


def post(mount: Mount, path: str, **parts: Any) -> TestResponse:
    return Client(mount).post(path, base_url=f"http://127.0.0.1:{PORT}", data=parts)


def offer(**changes: Any) -> dict[str, Any]:
    return {"sdp": "v=0 offer", "sdp_type": "offer", **changes}


def dataset(data: bytes = DATASET) -> dict[str, Any]:
    return {"dataset": (BytesIO(data), "dataset.json")}


def test_a_detection_stream_is_offered_and_answered(mount: Mount, streams: Streams) -> None:
    answer = post(mount, "/detector/stream", **offer())
    assert (answer.status_code, answer.get_json()) == (200, {"sdp": "v=0 answer", "type": "answer"})
    (message,) = streams.offers
    assert message.offer is not None
    assert message.offer.sdp == "v=0 offer"
    assert isinstance(message.ref, CallRef)
    assert (message.ref.until, message.blob_key) == ("detect", "")


def test_a_recognition_stream_has_its_data_set_for_itself(mount: Mount, streams: Streams, tmp_path: Path) -> None:
    answer = post(mount, "/recognizer/stream", **offer(), **dataset())
    assert answer.status_code == 200
    (message,) = streams.offers
    assert isinstance(message.ref, CallRef)
    assert (message.ref.until, streams.datasets) == ("embed", [DATASET])
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_what_the_process_refuses_is_told(mount: Mount, streams: Streams) -> None:
    refusals = {400: BadInputError("The offer has no video."), 429: OverloadedError("4 streams are open.")}
    for status, error in refusals.items():
        streams.answer = error
        answer = post(mount, "/detector/stream", **offer())
        assert (answer.status_code, answer.get_json()) == (status, {"error": error.message})


def test_without_the_process_the_answer_says_how_to_install_it(mount: Mount) -> None:
    for path, parts in (("/detector/stream", offer()), ("/recognizer/stream", offer() | dataset())):
        answer = post(mount, path, **parts)
        assert answer.status_code == 503
        assert "make live" in answer.get_json()["error"]


def test_missing_parts_are_listed(mount: Mount) -> None:
    cases: list[tuple[str, dict[str, str], list[str]]] = [
        ("/detector/stream", {}, ["sdp", "sdp_type"]),
        ("/detector/stream", {"sdp": "x"}, ["sdp_type"]),
        ("/recognizer/stream", {"sdp": "x", "sdp_type": "offer"}, ["dataset"]),
        ("/recognizer/stream", {"sdp": "x", "sdp_type": "offer", "dataset": "/etc/passwd"}, ["dataset"]),
    ]
    for path, parts, missing in cases:
        answer = post(mount, path, **parts)
        assert answer.status_code == 422
        assert [problem["loc"][1] for problem in answer.get_json()["detail"]] == missing


def test_wrong_parts_are_refused(mount: Mount) -> None:
    hostile = b'{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["touch pwned"]}]}'
    cases = [
        ("/detector/stream", offer(sdp_type="answer"), 400),
        ("/detector/stream", offer(sdp="x" * 300_000), 413),
        *(
            ("/recognizer/stream", offer() | dataset(data), 400)
            for data in (b"no JSON", b'[["anna", "1,2,3"]]', hostile)
        ),
    ]
    for path, parts, status in cases:
        answer = post(mount, path, **parts)
        assert (answer.status_code, list(answer.get_json())) == (status, ["error"])
