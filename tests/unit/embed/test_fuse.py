import numpy as np
import pytest

from workers.embed.fuse import find_people, fuse, number_by_appearance, split_tracklets

X, Y = np.eye(4, dtype=np.float32)[:2]


def near(vector: np.ndarray, seed: int, cosine: float = 0.9) -> np.ndarray:
    """A unit vector at that cosine."""
    other = np.random.default_rng(seed).normal(size=len(vector))
    other -= other @ vector * vector
    other /= np.linalg.norm(other)
    return np.asarray(cosine * vector + np.sqrt(1 - cosine**2) * other, np.float32)


def test_nothing_fused_is_nothing() -> None:
    fused = fuse(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), groups=0)
    assert fused.shape == (0, 4)


def test_fused_embeddings_are_unit_and_closer_to_the_weightier_crop() -> None:
    fused = fuse(np.stack([X, Y, Y]), np.array([0.9, 0.1, 0.5], np.float32), np.array([0, 0, 1], np.int32), groups=2)
    assert fused.dtype == np.float32
    assert np.linalg.norm(fused, axis=1) == pytest.approx([1, 1])
    assert fused[0] == pytest.approx([0.9 / np.hypot(0.9, 0.1), 0.1 / np.hypot(0.9, 0.1), 0, 0])
    assert fused[1] == pytest.approx(Y)


@pytest.mark.parametrize(("weights", "expected"), [([0, 0], [X, X]), ([0.5, 0.9], [-X, X])])
def test_weights_of_zero_and_opposite_crops_still_give_a_direction(
    weights: list[float], expected: list[np.ndarray]
) -> None:
    group = np.zeros(2, np.int32)
    same = fuse(np.stack([X, X]), np.array(weights, np.float32), group, groups=1)
    assert same[0] == pytest.approx(X)
    opposite = fuse(np.stack([X, -X]), np.array([0.5, 0.5], np.float32), group, groups=1)
    assert np.linalg.norm(opposite) == pytest.approx(1)


@pytest.mark.parametrize(
    ("embeddings", "people"),
    [
        ([], []),
        ([X], [0]),
        ([X, Y], [0, 1]),
        ([X, Y, X], [0, 1, 0]),
        # A chain: the ends are not alike, the middle is like both.
        ([X, Y, (X + Y) / np.sqrt(2)], [0, 0, 0]),
        ([X, -X, Y, -Y], [0, 1, 2, 3]),
    ],
)
def test_people_are_chains_of_similar_embeddings(embeddings: list[np.ndarray], people: list[int]) -> None:
    array = np.array(embeddings, np.float32).reshape(-1, 4)
    assert find_people(array, min_similarity=0.5).tolist() == people


def test_a_tracklet_of_two_people_is_split_where_it_changed() -> None:
    tracklet = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1], np.int32)
    times = np.repeat(np.arange(5), 2).astype(np.int64) * 200
    crop_face = np.array([0, 2, 8, 1, 9], np.int64)
    crops = np.stack([X, near(X, 1), near(Y, 2), near(Y, 3), near(Y, 4)])
    split = split_tracklets(tracklet, times, crop_face, crops, min_similarity=0.4)
    # Tracklet 0 was embedded at 0, 200 and 800 ms; 400 ms is nearer to the second, 600 ms to the third.
    assert split[tracklet == 0].tolist() == [0, 0, 0, 2, 2]
    assert split[tracklet == 1].tolist() == [1] * 5


def test_a_tracklet_of_one_person_stays_whole() -> None:
    tracklet = np.zeros(4, np.int32)
    crops = np.stack([near(X, seed) for seed in range(3)])
    split = split_tracklets(
        tracklet, np.arange(4, dtype=np.int64), np.array([0, 1, 3], np.int64), crops, min_similarity=0.4
    )
    assert split.tolist() == [0] * 4


def test_no_faces_are_split_into_no_tracklets() -> None:
    split = split_tracklets(
        np.zeros(0, np.int32),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros((0, 4), np.float32),
        min_similarity=0.4,
    )
    assert split.tolist() == []


def test_numbers_follow_first_appearance() -> None:
    assert number_by_appearance(np.array([7, 3, 7, 9, 3], np.int64)).tolist() == [0, 1, 0, 2, 1]
