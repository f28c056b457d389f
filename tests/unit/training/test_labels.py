from pathlib import Path

import numpy as np
import pytest

from common.types import Detections
from training.labels import SIDE_PX, Labels, by_person, chances, cut, judge, read_labels
from workers.detect.patches import cut_patches
from workers.detect.pictures import RgbPictures
from workers.embed.box_crops import cut_box_crops


def labels(age: list[float], p_male: list[float]) -> Labels:
    return Labels(np.array(age, np.float32), np.array(p_male, np.float32))


def test_labels_are_read_in_the_order_of_the_photographs(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,age,p_male\na/1.jpg,20.5,0.1\nb/1.jpg,60,0.9\n")
    read = read_labels(path, np.array(["b/1.jpg", "a/1.jpg"]))
    assert read.age.tolist() == [60, 20.5]
    assert read.p_male.tolist() == pytest.approx([0.9, 0.1])
    with pytest.raises(KeyError, match=r"c/1\.jpg"):
        read_labels(path, np.array(["c/1.jpg"]))


def test_photographs_of_one_person_are_drawn_together_and_others_stay() -> None:
    drawn = by_person(labels([30, 40, 70], [0.9, 0.4, 0.2]), np.array(["a", "a", "b"]))
    assert drawn.age.tolist() == pytest.approx([34, 36, 70])
    assert 0.5 < drawn.p_male[1] < drawn.p_male[0] < 0.9
    assert drawn.p_male[2] == pytest.approx(0.2)


def test_certain_labels_stay_finite() -> None:
    drawn = by_person(labels([30, 30], [0.0, 1.0]), np.array(["a", "b"]))
    assert drawn.p_male.tolist() == pytest.approx([0.005, 0.995])


def test_men_and_women_come_up_equally_often_and_people_with_many_photographs_less_often_for_each() -> None:
    people = np.array(["many"] * 8 + ["one", "she"])
    chance = chances(labels([40] * 10, [0.9] * 9 + [0.1]), people)
    assert chance.sum() == pytest.approx(1)
    assert chance[9] == pytest.approx(0.5)
    assert chance[0] < chance[8] < 8 * chance[0]


@pytest.mark.parametrize("box", [[60, 50, 120, 130], [0, 10, 70, 90], [200, 180, 260, 250]])
def test_the_crop_is_the_one_that_the_embed_stage_cuts(box: list[float]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (250, 250, 3)).astype(np.uint8)
    boxes = np.array([box], np.float32)
    faces = Detections(np.zeros(1, np.int32), boxes, np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32))
    crop = cut_box_crops(cut_patches(RgbPictures(image[None]), faces), boxes, np.array([0]), side_px=SIDE_PX)[0]
    assert np.abs(crop.astype(int) - cut(image, boxes[0])).max() <= 2


def test_a_mirrored_crop_is_the_crop_mirrored() -> None:
    image = np.random.default_rng(3).integers(0, 256, (250, 250, 3)).astype(np.uint8)
    box = np.array([60, 50, 124, 114], np.float32)
    plain, mirrored = (cut(image, box, is_mirrored=flag) for flag in (False, True))
    assert np.abs(plain[:, ::-1].astype(int) - mirrored).max() <= 2


def test_answers_are_judged_on_confident_labels_by_gender_and_on_all_ages() -> None:
    # Female, male, age: right, wrong, right, and one whose label is not confident.
    answers = np.array([[0, 1, 0.3], [1, 0, 0.5], [1, 0, 0.4], [0, 1, 0.4]], np.float32)
    figures = judge(answers, labels([40, 40, 40, 40], [0.99, 0.95, 0.02, 0.3]))
    assert (figures["confident"], figures["men"], figures["women"]) == (3, 0.5, 1)
    assert figures["balanced"] == 0.75
    assert figures["all"] == 0.5
    assert figures["age_mae"] == pytest.approx(5)
    assert figures["age_bias"] == pytest.approx(0, abs=1e-4)
