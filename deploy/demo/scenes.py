"""The script of the demo video: what is shown when, and so who can be seen when. Pure: numbers, no pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.demo.photographs import PEOPLE, Box, Person, people_in

WIDTH_PX: Final = 1280
HEIGHT_PX: Final = 720
FPS: Final = 25

#: A face counts as visible when this share of its box is inside the picture.
_VISIBLE_SHARE: Final = 0.75


@dataclass(frozen=True, slots=True)
class View:
    """Where the middle of a layer's cut lies on the screen, and how large it is.

    Attributes:
        x_px, y_px: position on the screen.
        scale: pixels of the screen per pixel of the photograph.
        turn_deg: rotation, counter-clockwise.
    """

    x_px: float
    y_px: float
    scale: float
    turn_deg: float = 0.0

    def towards(self, other: "View", share: float) -> "View":
        """The view after `share` (0..1) of the way to `other`."""
        return View(
            self.x_px + (other.x_px - self.x_px) * share,
            self.y_px + (other.y_px - self.y_px) * share,
            self.scale + (other.scale - self.scale) * share,
            self.turn_deg + (other.turn_deg - self.turn_deg) * share,
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """A cut of a photograph that moves over the screen in a straight line from `begin` to `end`."""

    photograph: str
    cut: Box
    begin: View
    end: View

    @property
    def middle(self) -> tuple[float, float]:
        """Middle of the cut, in pixels of the photograph."""
        x1, y1, x2, y2 = self.cut
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True, slots=True)
class Scene:
    """What is shown for a while: layers above each other, later ones in front.

    Attributes:
        duration_s: a whole number of frames.
        light: brightness factor at the begin and at the end.
        noise: standard deviation of the grain, grey levels.
    """

    duration_s: float
    layers: tuple[Layer, ...]
    light: tuple[float, float] = (1.0, 1.0)
    noise: float = 3.0

    @property
    def frames(self) -> int:
        """How many frames the scene has."""
        return round(self.duration_s * FPS)


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of media time, ms, in which somebody can be seen."""

    start_ms: int
    end_ms: int


def _portrait(name: str, begin: View, end: View) -> Layer:
    person = PEOPLE[name]
    return Layer(person.photograph, person.window, begin, end)


def _camera(photograph: str, cut: Box, begin: float, end: float) -> Layer:
    """A layer that stands in the middle of the screen while the camera zooms from scale `begin` to `end`."""
    middle = (WIDTH_PX / 2, HEIGHT_PX / 2)
    return Layer(photograph, cut, View(*middle, begin), View(*middle, end))


_NIGHT = _camera("rocket", (0, 0, 640, 427), 2.1, 2.25)
_ROOM = _camera("cup", (0, 0, 600, 260), 3.0, 2.8)

SCENES: Final = (
    # Astrid alone; the camera comes closer.
    Scene(4.0, (_NIGHT, _portrait("Astrid", View(560, 400, 1.6), View(700, 360, 2.1)))),
    # Boris and Carlo at one table; the camera pulls back, the light goes down.
    Scene(5.0, (_camera("group", (390, 215, 900, 505), 2.6, 2.52),), light=(1.05, 0.7), noise=5.0),
    # Nobody.
    Scene(3.0, (_camera("cup", (0, 0, 600, 400), 2.2, 2.5),)),
    # Emil crosses the dusk, turns and grows.
    Scene(
        4.0,
        (_ROOM, _portrait("Emil", View(420, 340, 1.6, -4), View(820, 380, 2.9, 4))),
        light=(0.65, 1.0),
        noise=6.0,
    ),
    # A stranger.
    Scene(4.0, (_NIGHT, _portrait("a stranger in black", View(760, 340, 1.7), View(560, 380, 2.2)))),
    # Boris is back, in poor light; Dora comes in from the right.
    Scene(
        5.0,
        (
            _NIGHT,
            _portrait("Dora", View(1540, 360, 1.7), View(900, 340, 1.9)),
            _portrait("Boris", View(300, 380, 1.6, 3), View(360, 360, 1.9, -3)),
        ),
        light=(0.6, 0.9),
        noise=7.0,
    ),
    # The table, without the stranger on the left: the pack `mini` takes her for Dora (similarity 0.4 to 0.5).
    Scene(3.0, (_camera("group", (205, 60, 1280, 665), 1.2, 1.24),)),
)

DURATION_S: Final = sum(scene.frames for scene in SCENES) / FPS


def view_at(layer: Layer, frame: int, frames: int) -> View:
    """The view of `layer` in frame `frame` of a scene of `frames`."""
    return layer.begin.towards(layer.end, frame / max(frames - 1, 1))


def visible_people(scene: Scene, frame: int) -> Iterator[tuple[Person, Box]]:
    """Who can be seen in a frame of a scene, and the box of the face on the screen.

    The script hides no face behind another layer, and turns by a few degrees only, which the boxes disregard.
    """
    for layer in scene.layers:
        view = view_at(layer, frame, scene.frames)
        for person in people_in(layer.photograph):
            x1, y1, x2, y2 = person.face
            if not (layer.cut[0] <= (x1 + x2) / 2 <= layer.cut[2] and layer.cut[1] <= (y1 + y2) / 2 <= layer.cut[3]):
                continue
            middle_x, middle_y = layer.middle
            box = (
                view.x_px + (x1 - middle_x) * view.scale,
                view.y_px + (y1 - middle_y) * view.scale,
                view.x_px + (x2 - middle_x) * view.scale,
                view.y_px + (y2 - middle_y) * view.scale,
            )
            if _share_on_screen(box) >= _VISIBLE_SHARE:
                yield person, box


def true_intervals(scenes: Sequence[Scene], *, max_gap_ms: int = 2000) -> dict[str, list[Interval]]:
    """Who is in the video, and when: computed from the script alone.

    Args:
        scenes: the script.
        max_gap_ms: an absence up to this long does not end an interval, as in the pipeline's appearances.

    Returns:
        For each person by name, intervals in order; from the first frame to the last one in which the face is visible.
    """
    seen: dict[str, list[Interval]] = {}
    first = 0
    for scene in scenes:
        for frame in range(scene.frames):
            time_ms = round((first + frame) * 1000 / FPS)
            for person, _ in visible_people(scene, frame):
                intervals = seen.setdefault(person.name, [])
                if intervals and time_ms - intervals[-1].end_ms <= max_gap_ms:
                    intervals[-1] = Interval(intervals[-1].start_ms, time_ms)
                else:
                    intervals.append(Interval(time_ms, time_ms))
        first += scene.frames
    return seen


def _share_on_screen(box: Box) -> float:
    x1, y1, x2, y2 = box
    width = max(0.0, min(x2, WIDTH_PX) - max(x1, 0.0))
    height = max(0.0, min(y2, HEIGHT_PX) - max(y1, 0.0))
    return width * height / ((x2 - x1) * (y2 - y1))
