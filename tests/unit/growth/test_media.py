import numpy as np
import pytest

from benchmarks.growth.media import HEIGHT_PX, MOST_FACES, WIDTH_PX, render_tiles


def test_a_frame_differs_by_its_people_alone_and_the_next_one_has_moved() -> None:
    none, some = (next(iter(render_tiles(faces, 1))).copy() for faces in (0, 8))
    assert none.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert none.dtype == np.uint8
    share = float((none != some).any(axis=2).mean())
    assert 0.1 < share < 8 / MOST_FACES
    first, later = _ends(2, 30)
    assert (first != later).any()


def _ends(faces: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    kept = [frame.copy() for number, frame in enumerate(render_tiles(faces, frames)) if number in (0, frames - 1)]
    return kept[0], kept[1]


def test_tiles_stay_on_the_picture_and_apart() -> None:
    for frame in render_tiles(MOST_FACES, 3):
        assert (frame[0] == 96).all()
        assert (frame[-1] == 96).all()
        assert (frame[:, 0] == 96).all()
        assert (frame[:, -1] == 96).all()


@pytest.mark.parametrize("faces", [-1, MOST_FACES + 1])
def test_there_is_no_room_for_more(faces: int) -> None:
    with pytest.raises(ValueError, match="have room"):
        next(iter(render_tiles(faces, 1)))
