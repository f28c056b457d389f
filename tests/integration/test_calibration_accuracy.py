"""Calibration on real people: what is recommended for some holds for others."""

import tarfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.types import Float32s, Frames, Int32s, Uint8s
from tests.integration.models_fixtures import find_reference, load_detector, load_embedder, no_check
from workers.detect.process import detect_faces
from workers.embed.process import embed_faces
from workers.match.rates import Rates, measure_rates
from workers.match.recommend import recommend

#: Photographs of one person at most, and people at most in each half.
PHOTOGRAPHS, PEOPLE = 3, 1200
SEED = 20261121

pytestmark = [pytest.mark.accuracy, pytest.mark.timeout(3600)]


def photographs(archive: Path) -> dict[str, list[Uint8s]]:
    """Encoded photographs by person, (bytes,) uint8 each, of people in the order of a seeded shuffle."""
    found: defaultdict[str, list[Uint8s]] = defaultdict(list)
    with tarfile.open(archive) as members:
        for member in members:
            file = members.extractfile(member) if member.name.endswith(".jpg") else None
            person = Path(member.name).parent.name
            if file is not None and len(found[person]) < PHOTOGRAPHS:
                found[person].append(np.frombuffer(file.read(), np.uint8))
    names = sorted(name for name, pictures in found.items() if pictures)
    return {names[i]: found[names[i]] for i in np.random.default_rng(SEED).permutation(len(names))}


@pytest.fixture(scope="module")
def halves(shared_dir: Path) -> list[tuple[Float32s, Int32s]]:
    """Embeddings, (n, dim), and whose each is, of two sets of people without anybody in common."""
    archive = shared_dir / "data" / "lfw-train.tar"
    if not archive.is_file():
        pytest.skip("the photographs of LFW are absent: no lfw-train.tar")
    pack = find_reference(shared_dir)
    detector, embedder = load_detector(pack, side_px=320), load_embedder(pack)
    people = list(photographs(archive).values())[: 2 * PEOPLE]
    half = len(people) // 2
    made: list[tuple[Float32s, Int32s]] = []
    for mine in (people[:half], people[half:]):
        embeddings, owners = [], []
        for person, pictures in enumerate(mine):
            for encoded in pictures:
                pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), np.uint8)[None]
                frames = Frames(pixels, np.zeros(1, np.int64), np.zeros(1, np.int64))
                faces = detect_faces(frames, detector, batch_size=1, link=False, check=no_check)
                found = embed_faces(
                    faces, embedder, crops_per_tracklet=1, batch_size=16, every_face=True, check=no_check
                )
                if len(found.boxes):
                    side = found.boxes[:, 2] - found.boxes[:, 0]
                    embeddings.append(found.embeddings[found.tracklet[int(side.argmax())]])
                    owners.append(person)
        made.append((np.array(embeddings, np.float32), np.array(owners, np.int32)))
    return made


def rates_of(half: tuple[Float32s, Int32s]) -> Rates:
    return measure_rates(*half, seed=SEED, check=no_check)


def test_the_recommended_bound_has_the_wished_false_match_rate_on_other_people(
    halves: list[tuple[Float32s, Int32s]],
) -> None:
    for ours, theirs in (halves, halves[::-1]):
        bound = recommend(rates_of(ours), 1e-3, extrapolate=False, seed=SEED)
        assert bound is not None
        real = rates_of(theirs).fmr(bound.min_similarity)
        assert 0.5e-3 <= real <= 2e-3, f"{bound} has {real:.2e} on other people"


def test_the_tail_model_agrees_with_what_more_pairs_show(halves: list[tuple[Float32s, Int32s]]) -> None:
    embeddings, subjects = halves[0]
    few = subjects < 250
    modelled = recommend(rates_of((embeddings[few], subjects[few])), 1e-4, extrapolate=True, seed=SEED)
    assert modelled is not None
    assert 2e-5 <= rates_of(halves[1]).fmr(modelled.min_similarity) <= 5e-4, modelled
