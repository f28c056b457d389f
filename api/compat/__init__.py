"""The routes of five older projects, on the same pools, galleries and stores as everything else.

Off unless `FACEPIPE_COMPAT` names them. They run in a process of their own that listens on their original ports, so
that clients and scripts written for them work without a change.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.errors import ConfigurationError
from common.settings import Settings

EVERYTHING: Final = "all"

_LAST_PORT: Final = 65_535

#: Answered on every port, for whoever watches over the process; no predecessor had such a path.
HEALTH_PATH: Final = "/healthz"


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An older project whose clients are served.

    Attributes:
        title: what people call it.
        module: the module whose `make_app(services)` gives its Flask app; imported when it is switched on.
        ports: where its servers used to listen.
        inner_ports: those of them that only its own servers called; left to the API where that listens on one.
    """

    title: str
    module: str
    ports: tuple[int, ...]
    inner_ports: tuple[int, ...] = ()

    def free_ports(self, settings: Settings) -> tuple[int, ...]:
        """Its ports, moved as the settings say, without those that are the API's."""
        moved = {port: port + settings.compat_port_offset for port in self.ports}
        return tuple(to for port, to in moved.items() if port not in self.inner_ports or to != settings.port)


#: Of several on one port, the first whose app knows the path answers.
PREDECESSORS: Final[Mapping[str, Predecessor]] = {
    "000": Predecessor(
        "video2frames and insightface servers (tae898)", "api.compat.frames_and_faces.app", (10001, 10002)
    ),
    "001": Predecessor("gnosis-recognizer-service (damsog)", "api.compat.gnosis.app", (5000, 6000)),
    "002": Predecessor("face_recognition_v2 (JamesWanglf)", "api.compat.face_table.app", (6337, 5000)),
    "003": Predecessor("smartav_api of interactive-video (livepeer)", "api.compat.smartav.app", (5000, 8000), (8000,)),
    "004": Predecessor("face recognition service and webcam client (thkrebs)", "api.compat.nearest_photo.app", (5000,)),
}


def switched_on(settings: Settings) -> dict[str, Predecessor]:
    """The predecessors that are to be served, by name, in the order of the table.

    Raises:
        ConfigurationError: an unknown name.
    """
    asked = {name.strip() for name in settings.compat}
    if unknown := sorted(asked - {EVERYTHING, *PREDECESSORS}):
        raise ConfigurationError(
            f"FACEPIPE_COMPAT names {', '.join(unknown)}; it takes {', '.join(PREDECESSORS)} or {EVERYTHING}."
        )
    return {name: each for name, each in PREDECESSORS.items() if EVERYTHING in asked or name in asked}


def ports_of(settings: Settings) -> dict[str, tuple[int, ...]]:
    """Where each predecessor that is switched on is served: on its original ports, or on those that are set for it.

    Raises:
        ConfigurationError: an unknown name, a port that is none, or one beyond 65535.
    """
    chosen: dict[str, list[int]] = {}
    for text in settings.compat_ports:
        name, _, port = text.strip().partition("=")
        if name not in PREDECESSORS or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= _LAST_PORT:
            raise ConfigurationError(f"FACEPIPE_COMPAT_PORTS has {text!r}; it takes a project and a port: 001=8080.")
        chosen.setdefault(name, []).append(int(port))
    ports = {name: tuple(chosen.get(name) or each.free_ports(settings)) for name, each in switched_on(settings).items()}
    if any(port > _LAST_PORT for each in ports.values() for port in each):
        raise ConfigurationError("FACEPIPE_COMPAT_PORT_OFFSET leads beyond port 65535: choose a smaller one.")
    return ports


def open_ports(settings: Settings) -> tuple[int, ...]:
    """The ports that the process of the older routes listens on, ascending; none where all are switched off.

    Raises:
        ConfigurationError: an unknown name, or a port beyond 65535.
    """
    return tuple(sorted({port for ports in ports_of(settings).values() for port in ports}))
