"""Pictures of a camera or another source, one after the other, the newest each time."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import ConfigurationError
from common.ffmpeg import find_ffmpeg
from common.settings import Settings
from deploy.gnosis.front import note
from workers.live.camera import Camera
from workers.live.source import parse_source, read_pictures

_TIMEOUT_S = 10.0


@contextmanager
def open_camera(settings: Settings, text: str) -> Iterator[Iterator[bytes]]:
    """JPEG files of a source, as they come; see `workers.live.source.parse_source`.

    Raises:
        BadInputError: there is no such source.
        TransientError: it gives no pictures.
    """
    source = parse_source(text)
    program = find_ffmpeg(settings.ffmpeg)
    camera = Camera(
        lambda check: read_pictures(source, program, timeout_s=_TIMEOUT_S, check=check),
        is_endless=source.is_endless,
        tell=note,
    )
    with camera:
        yield _pictures(camera)


def first_picture(settings: Settings, text: str) -> bytes:
    """One JPEG file of a source.

    Raises:
        ConfigurationError: it gives none; see also `open_camera`.
    """
    with open_camera(settings, text) as pictures:
        for picture in pictures:
            return picture
    raise ConfigurationError(f"The source {text} gave no picture.")


def _pictures(camera: Camera) -> Iterator[bytes]:
    while not camera.newest.is_over:
        picture = camera.newest.take(0.5)
        if picture is not None:
            yield picture.jpeg
    camera.raise_failure()
