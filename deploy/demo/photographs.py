"""The photographs of the demo and where people are in them; nothing is downloaded.

The names are invented. The boxes were measured once with the detector of the pack `mini`: `xyxy_px` in the photograph.

Sources: the group of six and the grey portrait lie in the wheel of insightface (`insightface/data/images`), the
astronaut (NASA, public domain), the cup and the rocket in that of scikit-image (`skimage/data`).
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from common.errors import ConfigurationError

Uint8s = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

_FILES: Final = {
    "group": ("insightface", "data/images/t1.jpg"),
    "portrait": ("insightface", "data/images/Tom_Hanks_54745.png"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "cup": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a photograph.

    Attributes:
        name: invented.
        photograph: key of the photograph.
        face: box of the face.
        window: box around the person in which no other face lies.
        is_known: whether the demo enrols this person.
    """

    name: str
    photograph: str
    face: Box
    window: Box
    is_known: bool


PEOPLE: Final = {
    person.name: person
    for person in (
        Person("Astrid", "astronaut", (180, 59, 268, 178), (60, 0, 360, 300), True),
        Person("Boris", "group", (463, 262, 569, 415), (395, 205, 665, 475), True),
        Person("Carlo", "group", (746, 344, 845, 482), (660, 270, 900, 510), True),
        Person("Dora", "group", (1131, 275, 1223, 398), (1050, 220, 1280, 450), True),
        Person("Emil", "portrait", (10, 8, 89, 117), (0, 0, 112, 112), True),
        Person("a stranger on the left", "group", (59, 259, 164, 401), (0, 210, 240, 450), False),
        Person("a stranger in black", "group", (269, 146, 366, 279), (205, 80, 445, 320), False),
        Person("a stranger in grey", "group", (904, 59, 1010, 209), (860, 0, 1120, 260), False),
    )
}


def people_in(photograph: str) -> list[Person]:
    """Everybody in a photograph."""
    return [person for person in PEOPLE.values() if person.photograph == photograph]


@cache
def load_photograph(key: str) -> Uint8s:
    """The pixels of a photograph, (height, width, 3) uint8 RGB; not to be changed.

    Raises:
        ConfigurationError: the package that carries it is not installed.
    """
    package, name = _FILES[key]
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    file = Path(folders[0]) / name if folders else None
    pixels = cv2.imread(str(file), cv2.IMREAD_COLOR) if file and file.is_file() else None
    if pixels is None:
        raise ConfigurationError(f"The demo needs the photograph {name} of the package {package}; run `make setup`.")
    return np.ascontiguousarray(pixels[:, :, ::-1]).astype(np.uint8, copy=False)
