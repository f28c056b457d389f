"""Pictures: told from videos by their first bytes, and decoded to upright RGB."""

from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.errors import BadInputError
from common.types import Uint8s

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

#: Pillow's own limit warns at one number and raises at another; ours is checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
Image.init()  # a format named to `Image.open` must have been registered before


def sniff_kind(path: str) -> Literal["image", "video"]:
    """Whether a file is a picture, by its signature alone; whatever is no picture may be a video."""
    try:
        with Image.open(path, formats=_FORMATS):
            return "image"
    except UnidentifiedImageError:
        return "video"
    except Exception as error:  # Pillow's plugins raise anything on a damaged header
        raise _undecodable(error) from error


def decode_image(path: str, *, max_px: int, upright: bool = True) -> Uint8s:
    """Decode a picture as a viewer shows it: turned upright by its EXIF orientation, first frame of an animation.

    Transparency is dropped, grey is spread over three channels, CMYK and palettes become RGB, and 16-bit samples keep
    their upper 8 bits.

    Args:
        max_px: largest width times height, checked before decoding.
        upright: False leaves the picture as it is stored, whatever its EXIF orientation says.

    Returns:
        (height, width, 3) uint8 RGB, not writable.

    Raises:
        BadInputError: `empty_file`, `bad_media` (no picture, or a damaged one) or `too_large`.
    """
    if Path(path).stat().st_size == 0:
        raise BadInputError("The file is empty: upload it again.", "empty_file")
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check_size(image, max_px)
            image.load()
            if upright:
                _turn_upright(image)
            return np.asarray(_to_rgb(image))
    except BadInputError:
        raise
    except UnidentifiedImageError as error:
        raise BadInputError(
            "The file is no picture that can be decoded: send JPEG, PNG or WebP.", "bad_media"
        ) from error
    except Exception as error:  # Pillow's plugins raise anything on damaged bytes
        raise _undecodable(error) from error


def _check_size(image: Image.Image, max_px: int) -> None:
    width, height = image.size
    if width * height > max_px:
        raise BadInputError(
            f"The picture is {width}x{height} pixels; at most {max_px} are allowed here: make it smaller.", "too_large"
        )


def _turn_upright(image: Image.Image) -> None:
    with suppress(Exception):  # EXIF that no parser can read says nothing about the orientation
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.int64)
        return Image.fromarray((samples >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "P":  # directly to RGB, Pillow warns where the palette has an alpha channel
        return image.convert("RGBA").convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _undecodable(error: Exception) -> BadInputError:
    return BadInputError(f"The picture is damaged and cannot be decoded ({error}): upload it again.", "bad_media")
