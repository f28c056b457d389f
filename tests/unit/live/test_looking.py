"""What the pools say of a frame is labelled and drawn; the pools are a lane on a real Redis."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.blobs.files import FileBlobStore
from common.calls import CallDesk, connect_redis
from common.contracts import CallRef, Message
from common.errors import BadInputError
from common.gnosis.dataset import Dataset
from common.stage.lane import CallLane
from tests.unit.live.green import green_share
from workers.live.looking import Looker, Naming

GREY = np.full((96, 128, 3), 128, np.uint8)


def face(*embedding: float, box: tuple[float, ...] = (20, 20, 80, 80)) -> dict[str, Any]:
    return {"box": list(box), "det_score": 0.9, "landmarks": [[40, 40]] * 5, "embedding": list(embedding)}


def dataset(**rows: list[float]) -> Dataset:
    embeddings = np.zeros((len(rows), 512))
    for row, numbers in zip(embeddings, rows.values(), strict=True):
        row[: len(numbers)] = numbers
    return Dataset(tuple(rows), embeddings)


class Pools:
    """A lane that gives one answer."""

    def __init__(self, desk: CallDesk, blobs: FileBlobStore) -> None:
        self.answer: dict[str, Any] | BadInputError = {"faces": []}
        self.asked: list[Message] = []
        self.pictures: list[bytes] = []
        self._desk = desk
        self._blobs = blobs
        self.lane = CallLane(desk, "decode", self._handle, threads=1)

    def _handle(self, wire: Mapping[str, Any]) -> None:
        message = Message.from_wire(wire)
        assert isinstance(message.ref, CallRef)
        self.asked.append(message)
        self.pictures.append(self._blobs.read(message.blob_key))
        if isinstance(self.answer, BadInputError):
            self._desk.answer_error(message.ref, self.answer)
        else:
            self._desk.answer(message.ref, self.answer)


@pytest.fixture
def desk(redis_url: str) -> CallDesk:
    return CallDesk(connect_redis(redis_url))


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path)


@pytest.fixture
def pools(desk: CallDesk, blobs: FileBlobStore) -> Iterator[Pools]:
    pools = Pools(desk, blobs)
    pools.lane.start()
    yield pools
    pools.lane.stop()


def test_without_a_data_set_faces_are_numbered() -> None:
    naming = Naming(None, above=0.3)
    assert naming.until == "detect"
    faces = [face(box=(-5, 0, 9, 9)), face()]
    assert [label for _, label in naming.label(faces)] == ["0", "1"]
    assert naming.label([]) == []


def test_with_a_data_set_faces_inside_of_the_frame_are_named() -> None:
    naming = Naming(dataset(anna=[1.0, 0.0], bert=[0.0, 1.0]), above=0.3)
    assert naming.until == "embed"
    faces = [face(0.0, 1.0), face(1.0, 0.0, box=(-5, 0, 9, 9)), face(0.8, 0.6, 0.0), face(0.0, 0.0, 1.0)]
    assert [(found is faces[i], label) for (found, label), i in zip(naming.label(faces), (0, 2, 3), strict=True)] == [
        (True, "bert"),
        (True, "anna"),
        (True, "Uknown"),
    ]
    assert naming.label([]) == []


@pytest.mark.parametrize("landmarks", [[[40, 40]] * 5, None])
def test_faces_are_drawn_and_the_frame_is_thrown_away(
    pools: Pools, desk: CallDesk, blobs: FileBlobStore, landmarks: Any, tmp_path: Path
) -> None:
    pools.answer = {"faces": [face() | {"landmarks": landmarks}]}
    drawn = Looker(desk, blobs, Naming(None, above=0.3)).draw(GREY)
    assert drawn.shape == GREY.shape
    assert green_share(drawn) > 0.01
    assert green_share(GREY) == 0
    (message,) = pools.asked
    assert isinstance(message.ref, CallRef)
    assert message.ref.until == "detect"
    assert pools.pictures[0].startswith(b"\xff\xd8")
    assert [path for path in (tmp_path / "calls").rglob("*") if path.is_file()] == []


def test_a_frame_without_faces_stays_as_it_is(pools: Pools, desk: CallDesk, blobs: FileBlobStore) -> None:
    assert np.array_equal(Looker(desk, blobs, Naming(None, above=0.3)).draw(GREY), GREY)


def test_while_the_pools_are_away_frames_pass_and_they_are_asked_ever_more_rarely(
    pools: Pools, desk: CallDesk, blobs: FileBlobStore
) -> None:
    now = 0.0
    looker = Looker(desk, blobs, Naming(None, above=0.3), clock=lambda: now)
    pools.answer = BadInputError("no", "bad_media")
    asked_at = []
    for step in range(80):
        now = step * 0.1
        before = len(pools.asked)
        assert looker.draw(GREY) is GREY
        asked_at += [step] if len(pools.asked) > before else []
    assert asked_at == [0, 5, 15, 35, 75]
    pools.answer, now = {"faces": [face()]}, 60.0
    assert green_share(looker.draw(GREY)) > 0.01
    assert green_share(looker.draw(GREY)) > 0.01
