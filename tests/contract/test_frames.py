"""What a frame store promises."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.calls import connect_redis
from common.errors import BadInputError, CancelledError, TransientError
from common.frames.files import FileFrameStore
from common.frames.redis import RedisFrameStore
from common.ports import FrameStore

MIB = 1 << 20
BULK = 16 * MIB * 4 // 5


def never() -> None:
    raise AssertionError("there was room, nobody had to wait")


def give_up() -> None:
    raise CancelledError("no room")


@pytest.fixture(params=["files", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FrameStore:
    if request.param == "redis":
        return RedisFrameStore(connect_redis(request.getfixturevalue("redis_url")), 16 * MIB)
    return FileFrameStore(tmp_path / "frames", 16 * MIB)


def test_what_was_put_is_read_back_without_being_writable(store: FrameStore) -> None:
    arrays = {
        "pixels": np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3),
        "empty": np.zeros((0, 4), np.float32),
        "time": np.array([5], np.int64),
    }
    store.put("a:frames", arrays, urgent=False, wait=never)
    with store.open("a:frames") as found:
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)
            assert not found[name].flags.writeable


def test_an_entry_is_unseen_until_committed_and_keeps_the_rows_it_got(store: FrameStore) -> None:
    layout = {"pixels": ("|u1", (4, 10)), "time": ("<i8", (4,))}
    writer = store.create("a:frames", layout, urgent=False, wait=never)
    writer.arrays["time"][:2] = [7, 8]
    with pytest.raises(TransientError), store.open("a:frames"):
        pass
    writer.commit(rows=2)
    with store.open("a:frames") as found:
        assert found["pixels"].shape == (2, 10)
        assert found["time"].tolist() == [7, 8]


def test_a_full_store_makes_bulk_wait_but_has_room_for_a_call(store: FrameStore) -> None:
    layout = {"pixels": ("|u1", (BULK - 5000,))}
    store.create("bulk:frames", layout, urgent=False, wait=never).commit()
    small = {"pixels": ("|u1", (MIB,))}
    with pytest.raises(CancelledError):
        store.create("more:frames", small, urgent=False, wait=give_up)
    store.create("call-1:frames", small, urgent=True, wait=never).commit()
    store.release("bulk:frames")
    store.release("bulk:frames")
    store.create("more:frames", small, urgent=False, wait=never).commit()
    assert set(store.keys()) == {"call-1:frames", "more:frames"}


def test_an_entry_larger_than_the_store_is_refused_with_the_setting_to_change(store: FrameStore) -> None:
    with pytest.raises(BadInputError, match="FACEPIPE_FRAMES__CAPACITY_BYTES"):
        store.create("a:frames", {"pixels": ("|u1", (17 * MIB,))}, urgent=True, wait=never)


def test_half_written_entries_are_listed_and_count_until_released(store: FrameStore) -> None:
    store.create("dead:frames", {"pixels": ("|u1", (MIB,))}, urgent=False, wait=never)
    assert list(store.keys()) == ["dead:frames"]
    assert store.used_bytes() >= MIB
    store.release("dead:frames")
    assert store.used_bytes() == 0


def test_a_discarded_entry_gives_its_room_back(store: FrameStore) -> None:
    writer = store.create("a:frames", {"pixels": ("|u1", (MIB,))}, urgent=False, wait=never)
    writer.discard()
    writer.discard()
    assert store.used_bytes() == 0


def test_an_entry_in_a_used_file_holds_nothing_of_the_entry_before(tmp_path: Path) -> None:
    store = FileFrameStore(tmp_path / "frames", 16 * MIB)
    first = {"a_rather_long_name_of_pixels": np.full(2 * MIB, 7, np.uint8)}
    store.put("a:frames", first, urgent=False, wait=never)
    (inode,) = (entry.stat().st_ino for entry in tmp_path.glob("frames/a:frames"))
    store.release("a:frames")
    assert (list(store.keys()), store.used_bytes()) == ([], 0)
    store.put("b:frames", {"pixels": np.full(2 * MIB, 9, np.uint8)}, urgent=False, wait=never)
    assert (tmp_path / "frames" / "b:frames").stat().st_ino == inode
    with store.open("b:frames") as found:
        assert set(found) == {"pixels"}
        assert (found["pixels"] == 9).all()


def test_used_files_never_take_room_from_entries_and_are_given_back_when_idle(tmp_path: Path) -> None:
    store = FileFrameStore(tmp_path / "frames", 16 * MIB)
    for size in (2, 3, 4, 5):
        store.put(f"{size}:frames", {"pixels": np.zeros(size * MIB, np.uint8)}, urgent=True, wait=never)
    for size in (2, 3, 4, 5):
        store.release(f"{size}:frames")
    store.put("large:frames", {"pixels": np.zeros(12 * MIB, np.uint8)}, urgent=False, wait=never)
    kept = [path.stat().st_size for path in tmp_path.glob("frames/.spare-*")]
    assert sum(kept) + 12 * MIB <= 16 * MIB
    store.release("large:frames")
    store.trim(3600)
    assert list(tmp_path.glob("frames/.spare-*"))
    store.trim(0)
    assert not list(tmp_path.glob("frames/.spare-*"))


def test_an_entry_may_lie_in_a_somewhat_larger_file_but_not_in_a_much_larger_one(tmp_path: Path) -> None:
    store = FileFrameStore(tmp_path / "frames", 16 * MIB)
    store.put("a:frames", {"pixels": np.full(3 * MIB, 7, np.uint8)}, urgent=False, wait=never)
    store.release("a:frames")
    store.put("small:frames", {"pixels": np.full(MIB, 8, np.uint8)}, urgent=False, wait=never)
    assert len(list(tmp_path.glob("frames/.spare-*"))) == 1
    store.put("b:frames", {"pixels": np.full(5 * MIB // 2, 9, np.uint8)}, urgent=False, wait=never)
    assert not list(tmp_path.glob("frames/.spare-*"))
    assert store.used_bytes() > 4 * MIB
    with store.open("b:frames") as found:
        assert found["pixels"].shape == (5 * MIB // 2,)
        assert (found["pixels"] == 9).all()


def test_a_file_that_is_somewhat_too_short_is_made_longer_also_for_those_who_have_it_mapped(tmp_path: Path) -> None:
    store, reader = (FileFrameStore(tmp_path / "frames", 16 * MIB) for _ in range(2))
    store.put("a:frames", {"pixels": np.full(3 * MIB, 7, np.uint8)}, urgent=False, wait=never)
    with reader.open("a:frames") as found:
        assert (found["pixels"] == 7).all()
        store.release("a:frames")
        store.put("b:frames", {"pixels": np.full(5 * MIB, 8, np.uint8)}, urgent=False, wait=never)
        assert not list(tmp_path.glob("frames/.spare-*"))
        assert found["pixels"].shape == (3 * MIB,)
    with reader.open("b:frames") as found:
        assert (found["pixels"] == np.full(5 * MIB, 8, np.uint8)).all()
    store.release("b:frames")
    store.put("c:frames", {"pixels": np.full(11 * MIB, 9, np.uint8)}, urgent=False, wait=never)
    assert list(tmp_path.glob("frames/.spare-*")) == []
    with reader.open("c:frames") as found:
        assert (found["pixels"] == np.full(11 * MIB, 9, np.uint8)).all()


def test_memory_of_a_removed_file_goes_though_somebody_still_reads_it(tmp_path: Path) -> None:
    store, reader = (FileFrameStore(tmp_path / "frames", 16 * MIB) for _ in range(2))
    store.put("a:frames", {"pixels": np.full(2 * MIB, 7, np.uint8)}, urgent=False, wait=never)
    with (tmp_path / "frames" / "a:frames").open("rb") as file, reader.open("a:frames") as found:
        store.release("a:frames")
        store.trim(0)
        assert os.fstat(file.fileno()).st_blocks == 0
        assert (found["pixels"] == 0).all()
    store.put("b:frames", {"pixels": np.full(2 * MIB, 9, np.uint8)}, urgent=False, wait=never)
    with reader.open("b:frames") as found:
        assert (found["pixels"] == 9).all()
