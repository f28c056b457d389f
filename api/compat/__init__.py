"""The routes of five older projects, on the same pools, galleries and stores as everything else.

Off unless `FACEPIPE_COMPAT` names them. They run in a process of their own that listens on their original ports, so
that clients and scripts written for them work without a change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.errors import ConfigurationError
from common.settings import Settings

EVERYTHING: Final = "all"

#: Answered on every port, for whoever watches over the process; no predecessor had such a path.
HEALTH_PATH: Final = "/healthz"


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An older project whose clients are served.

    Attributes:
        title: what people call it.
        module: the module whose `make_app(services)` gives its Flask app; imported when it is switched on.
        ports: where its servers used to listen.
    """

    title: str
    module: str
    ports: tuple[int, ...]


#: Of several on one port, the first whose app knows the path answers.
PREDECESSORS: Final[Mapping[str, Predecessor]] = {
    "000": Predecessor(
        "video2frames and insightface servers (tae898)", "api.compat.frames_and_faces.app", (10001, 10002)
    ),
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


def open_ports(settings: Settings) -> tuple[int, ...]:
    """The ports that the process of the older routes listens on, ascending; none where all are switched off.

    Raises:
        ConfigurationError: an unknown name, or a port beyond 65535.
    """
    ports = {port + settings.compat_port_offset for each in switched_on(settings).values() for port in each.ports}
    if ports and max(ports) > 65_535:
        raise ConfigurationError("FACEPIPE_COMPAT_PORT_OFFSET leads beyond port 65535: choose a smaller one.")
    return tuple(sorted(ports))
