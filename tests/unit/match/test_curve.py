"""The picture of a calibration."""

import io

import numpy as np
import pytest
from PIL import Image

from workers.match.curve import draw_curve

GRID = [[-0.2, 1.0, 0.0], [0.3, 1e-2, 0.01], [0.6, 1e-5, 0.5], [1.0, 0.0, 1.0]]


def colours(picture: bytes) -> set[tuple[int, ...]]:
    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.size) == ("PNG", (960, 600))
        return set(map(tuple, np.unique(np.asarray(image.convert("RGB"))[110:].reshape(-1, 3), axis=0).tolist()))


@pytest.mark.parametrize("has_mated", [True, False])
def test_the_curves_and_bounds_are_drawn(has_mated: bool) -> None:
    grid = GRID if has_mated else [[at, fmr, None] for at, fmr, _ in GRID]
    drawn = colours(draw_curve(grid, current=0.4, chosen={"min_similarity": 0.35, "fmr": 1e-3}))
    assert {(0xB2, 0x18, 0x2B), (0x1A, 0x7D, 0x36), (0x88, 0x88, 0x88)} <= drawn
    assert ((0x21, 0x66, 0xAC) in drawn) == has_mated


def test_without_a_recommendation_only_the_bound_in_force_is_drawn() -> None:
    assert (0x1A, 0x7D, 0x36) not in colours(draw_curve(GRID, current=0.4, chosen=None))
