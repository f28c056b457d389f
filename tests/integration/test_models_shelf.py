"""Several embedders in one pool, and a pool that refuses to start."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.contracts import TASK_DETECT, TASK_EMBED, CallRef, Message, Options
from common.errors import ConfigurationError, ConflictError, FacepipeError
from common.inference.engine import Engine, Lanes
from common.models import Models
from common.packs import Pack, find_pack
from common.settings import DetectSettings, EmbedSettings, FrameSettings, Settings
from common.stage.runtime import Runtime
from common.store.counters import Counters
from common.store.database import Database
from common.types import Frames
from tests.integration.made_networks import write_embedder, write_scrfd
from tests.integration.models_fixtures import MODELS, PEOPLE, install_pack, no_check, read_photograph
from workers.detect import tasks as detect_tasks
from workers.embed import tasks as embed_tasks
from workers.embed.embedder import Embedder
from workers.embed.shelf import EmbedderShelf

MINI = find_pack("mini", [MODELS])
DETECTOR = MINI.path(MINI.detector)
CROPS = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A folder of three packs beside `mini`; their embedders have 64, 65 and 66 numbers."""
    folder = tmp_path / "packs"
    for i, letter in enumerate("abc"):
        embedder = write_embedder(tmp_path / f"rec_{letter}.onnx", 64 + i)
        install_pack(folder, f"pack-{letter}", DETECTOR, embedder, dim=64 + i, model_id=f"model-{letter}")
    return folder


class Loader:
    """Loads embedders, and remembers which."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, pack: Pack) -> Lanes[Embedder]:
        self.loaded.append(pack.name)
        build = partial(Embedder, spec=pack.embedder)
        return Engine(EmbedSettings()).load(pack.path(pack.embedder), build, row=(3, 112, 112), batch_size=4)


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def shelf(packs: Path, loader: Loader) -> EmbedderShelf:
    return EmbedderShelf(Models("mini", [packs, MODELS]), loader, others=2)


def dim(shelf: EmbedderShelf, model_id: str | None, *, urgent: bool = False) -> int:
    embeddings = shelf.get(model_id, urgent=urgent).embed(CROPS, batch_size=4, check=no_check)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx([1, 1])
    return embeddings.shape[1]


def test_the_active_embedder_is_there_from_the_start(shelf: EmbedderShelf, loader: Loader) -> None:
    assert loader.loaded == ["mini"]
    assert shelf.get(None, urgent=False) is shelf.get(MINI.model_id, urgent=False)
    assert shelf.get(None, urgent=True) is not shelf.get(None, urgent=False)
    assert dim(shelf, None) == dim(shelf, None, urgent=True) == 512
    assert loader.loaded == ["mini"]


def test_another_embedder_is_loaded_when_it_is_first_asked_for(shelf: EmbedderShelf, loader: Loader) -> None:
    assert dim(shelf, "model-b") == dim(shelf, "model-b", urgent=True) == 65
    assert dim(shelf, "model-a") == 64
    assert shelf.get("model-a", urgent=False).spec.model_id == "model-a"
    assert loader.loaded == ["mini", "pack-b", "pack-a"]


def test_the_one_that_was_not_used_for_the_longest_time_goes(shelf: EmbedderShelf, loader: Loader) -> None:
    kept = shelf.get("model-a", urgent=False)
    for letter in "bacabc":
        dim(shelf, f"model-{letter}")
    assert loader.loaded == ["mini", "pack-a", "pack-b", "pack-c", "pack-b", "pack-c"]
    assert dim(shelf, None) == 512
    assert kept.embed(CROPS, batch_size=4, check=no_check).shape == (2, 64)


def test_many_threads_load_an_embedder_once(shelf: EmbedderShelf, loader: Loader) -> None:
    start = threading.Barrier(8)

    def ask(number: int) -> int:
        start.wait(20)
        return dim(shelf, ("model-a", "model-b")[number % 2], urgent=number % 3 == 0)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [64, 65] * 4
    assert sorted(loader.loaded) == ["mini", "pack-a", "pack-b"]


def test_a_space_of_no_installed_pack_is_refused_until_the_pack_is_there(
    shelf: EmbedderShelf, loader: Loader, packs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConflictError, match=r"'model-d'.*facepipe models install"):
        shelf.get("model-d", urgent=False)
    embedder = write_embedder(tmp_path / "rec_d.onnx", 70)
    install_pack(packs, "pack-d", DETECTOR, embedder, dim=70, model_id="model-d")
    assert dim(shelf, "model-d") == 70


def test_a_broken_pack_is_refused_until_it_is_repaired(shelf: EmbedderShelf, packs: Path) -> None:
    path = packs / "pack-a" / "rec_a.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(ConfigurationError, match=r"rec_a\.onnx cannot be loaded"):
        shelf.get("model-a", urgent=False)
    path.write_bytes(whole)
    assert dim(shelf, "model-a") == 64


@pytest.fixture
def make_runtime(database_url: str, redis_url: str, tmp_path: Path, packs: Path) -> Iterator[Callable[..., Runtime]]:
    runtimes = []

    def make(stage: Any, **settings: Any) -> Runtime:
        given = {
            "database_url": database_url,
            "redis_url": redis_url,
            "home": tmp_path / "home",
            "frames": FrameSettings(directory=tmp_path / "frames"),
            "models_path": (packs,),
        }
        runtimes.append(Runtime(Settings(**given | settings), stage))
        return runtimes[-1]

    yield make
    for runtime in runtimes:
        runtime.close()


def ask(runtime: Runtime, handlers: dict[str, Any], options: Options) -> dict[str, Any]:
    """A photograph through detect and embed, as an interactive call."""
    ref = CallRef("c1", "embed", int(time.time() * 1000) + 60_000)
    message = Message(ref, options, "calls/c1").to_wire()
    pixels = read_photograph()[None]
    frames = Frames(pixels, np.zeros(1, np.int64), np.zeros(1, np.int64))
    runtime.frames.put(f"{ref.key}:frames", frames.to_arrays(), urgent=True, wait=no_check)
    handlers[TASK_DETECT](message)
    handlers[TASK_EMBED](message)
    answer = runtime.desk._wait("c1", time.time() + 10)
    assert list(runtime.frames.keys()) == []
    if isinstance(answer, FacepipeError):
        raise answer
    return answer


@pytest.mark.parametrize(("model_id", "shown", "length"), [(None, MINI.model_id, 512), ("model-b", "model-b", 65)])
@pytest.mark.parametrize("runs", [0, 1])
def test_a_call_is_embedded_in_the_space_it_asks_for_and_its_runs_are_counted(
    make_runtime: Callable[..., Runtime],
    database: Database,
    model_id: str | None,
    shown: str,
    length: int,
    runs: int,
) -> None:
    detect = make_runtime("detect", detect=DetectSettings(runs=runs))
    embed = make_runtime("embed", embed=EmbedSettings(runs=runs))
    handlers = detect_tasks.make_tasks(detect) | embed_tasks.make_tasks(embed)
    answer = ask(embed, handlers, Options(model_id=model_id))
    assert answer["model_id"] == shown
    assert [len(face["embedding"]) for face in answer["faces"]] == [length] * PEOPLE
    detect.meter.store()
    embed.meter.store()
    counts = Counters(database).read()
    for stage, items in (("detect", 1), ("embed", PEOPLE)):
        assert counts["model_runs", stage] == 1
        assert counts["model_items", stage] == items


def test_a_call_for_a_space_that_is_not_installed_says_how_to_install_it(
    make_runtime: Callable[..., Runtime],
) -> None:
    embed = make_runtime("embed")
    handlers = detect_tasks.make_tasks(make_runtime("detect")) | embed_tasks.make_tasks(embed)
    with pytest.raises(FacepipeError, match="facepipe models install"):
        ask(embed, handlers, Options(model_id="model-x"))


@pytest.mark.parametrize("count", [6, 10])
def test_an_embed_pool_whose_faces_could_not_be_aligned_does_not_start(
    make_runtime: Callable[..., Runtime], packs: Path, tmp_path: Path, count: int
) -> None:
    blind = write_scrfd(tmp_path / "blind.onnx", count)
    install_pack(packs, "blind", blind, MINI.path(MINI.embedder), dim=512, model_id="blind-1")
    detect_tasks.make_tasks(make_runtime("detect", model_pack="blind"))
    with pytest.raises(ConfigurationError, match=r"'blind': its detector blind.onnx gives no landmarks.*`landmarks`"):
        embed_tasks.make_tasks(make_runtime("embed", model_pack="blind"))
