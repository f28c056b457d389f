import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.growth.plot import HEIGHT, WIDTH, Line, draw, nice_ticks, short

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


@pytest.mark.parametrize("highest", [0.0, 0.004, 1.0, 9.99, 10.0, 43.7, 51.0, 1200.0, 2e6])
def test_ticks_are_few_and_reach_the_highest_value(highest: float) -> None:
    ticks = nice_ticks(highest)
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(ticks)


@pytest.mark.parametrize(("value", "words"), [(0, "0"), (2.5, "2.5"), (1000, "1k"), (100_000, "100k"), (1e6, "1M")])
def test_numbers_are_short(value: float, words: str) -> None:
    assert short(value) == words


def test_a_plot_has_labels_a_legend_and_every_point() -> None:
    lines = [Line("measured", [(0, 10), (8, 30)]), Line("model & co", [(0, 12), (8, 28)], is_dashed=True)]
    root = parse(draw("Faces <in> a frame", "faces", "frames/s", lines))
    words = [text.text for text in root.iterfind(".//svg:text", NAMES)]
    assert {"Faces <in> a frame", "faces", "frames/s", "measured", "model & co", "0", "8"} <= set(words)
    circles = root.findall(".//svg:circle", NAMES)
    assert len(circles) == 2  # the model has none
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert heights[1] < heights[0]  # more is higher


def test_everything_lies_on_the_picture() -> None:
    root = parse(draw("t", "x", "y", [Line("a", [(10, 5), (100, 0), (1000, 7)])], log_x=True))
    places = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iterfind(".//svg:circle", NAMES)]
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)
    assert places[1][0] - places[0][0] == pytest.approx(places[2][0] - places[1][0], abs=0.2)


def test_one_point_is_drawn_in_the_middle() -> None:
    (circle,) = parse(draw("t", "x", "y", [Line("a", [(3, 4)])])).findall(".//svg:circle", NAMES)
    assert 200 < float(circle.attrib["cx"]) < 500


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw("t", "x", "y", [])
    with pytest.raises(ValueError, match="above 0"):
        draw("t", "x", "y", [Line("a", [(0, 1)])], log_x=True)
