"""Which pools for pictures have something to run: those whose networks an installed pack has."""

from collections.abc import Mapping
from typing import Final

from common.contracts import PICTURE_STAGES, Stage
from common.packs import Pack, PictureTask, find_picture_pack
from common.settings import Settings

TASKS: Final[Mapping[Stage, PictureTask]] = {"caption": "captioning", "segment": "segmentation"}

#: What to do where there is none; goes behind "No …".
HOW_TO_INSTALL: Final = (
    "install one (`facepipe models install --from FOLDER`, see docs/howto/pictures.md) and start the stack again"
)


def picture_pack(settings: Settings, stage: Stage) -> Pack | None:
    """The pack that the pool `stage` runs.

    Returns:
        None where no installed pack has what it needs; the pool does not run then.
    Raises:
        ConfigurationError: a setting names a pack that is missing, broken or without such networks.
    """
    chosen: str = getattr(settings, stage).pack
    return find_picture_pack(chosen, TASKS[stage], settings.packs_path)


def picture_stages(settings: Settings) -> tuple[Stage, ...]:
    """The pools for pictures that run here. Raises ConfigurationError like `picture_pack`."""
    return tuple(stage for stage in PICTURE_STAGES if picture_pack(settings, stage) is not None)
