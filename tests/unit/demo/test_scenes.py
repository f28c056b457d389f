"""The truth of the demo follows from its script."""

from deploy.demo.photographs import PEOPLE
from deploy.demo.scenes import (
    HEIGHT_PX,
    SCENES,
    WIDTH_PX,
    Interval,
    Layer,
    Scene,
    View,
    true_intervals,
    visible_people,
)

CENTRE = View(WIDTH_PX / 2, HEIGHT_PX / 2, 1.5)
OUTSIDE = View(-WIDTH_PX, HEIGHT_PX / 2, 1.5)


def a_layer(name: str, begin: View = CENTRE, end: View = CENTRE) -> Layer:
    return Layer(PEOPLE[name].photograph, PEOPLE[name].window, begin, end)


def test_nobody_is_in_no_scenes() -> None:
    assert true_intervals([]) == {}


def test_a_scene_without_people_shows_nobody() -> None:
    assert true_intervals([Scene(1.0, ())]) == {}


def test_a_person_is_seen_from_the_first_frame_to_the_last() -> None:
    assert true_intervals([Scene(1.0, ()), Scene(2.0, (a_layer("Boris"),))]) == {"Boris": [Interval(1000, 2960)]}


def test_a_short_absence_does_not_end_an_interval_and_a_long_one_does() -> None:
    scenes = [Scene(1.0, (a_layer("Boris"),)), Scene(1.0, ()), Scene(1.0, (a_layer("Boris"),))]
    assert true_intervals(scenes, max_gap_ms=2000) == {"Boris": [Interval(0, 2960)]}
    assert true_intervals(scenes, max_gap_ms=500) == {"Boris": [Interval(0, 960), Interval(2000, 2960)]}


def test_a_face_outside_of_the_picture_is_not_seen() -> None:
    scene = Scene(1.0, (a_layer("Boris", OUTSIDE, CENTRE),))
    assert list(visible_people(scene, 0)) == []
    ((person, box),) = visible_people(scene, scene.frames - 1)
    assert person.name == "Boris"
    assert 0 < box[0] < box[2] < WIDTH_PX


def test_a_cut_shows_only_those_inside_it() -> None:
    table = Layer("group", (390, 215, 900, 505), CENTRE, CENTRE)
    assert {person.name for person, _ in visible_people(Scene(1.0, (table,)), 0)} == {"Boris", "Carlo"}


def test_the_script_has_what_the_demo_is_to_show() -> None:
    truth = true_intervals(SCENES)
    assert len(truth["Boris"]) == 2
    assert any(not PEOPLE[name].is_known for name in truth)
    assert {name for name, person in PEOPLE.items() if person.is_known} <= truth.keys()
    crowds = {len(list(visible_people(scene, frame))) for scene in SCENES for frame in range(scene.frames)}
    assert {0, 1, 2} <= crowds
