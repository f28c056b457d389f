"""Pictures: from a file to upright RGB."""

import io
import warnings
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from common.errors import BadInputError
from common.types import Uint8s

#: Formats that are read, by Pillow's names; others are never tried, so a rarely used parser cannot be reached.
FORMATS: Final = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)

Image.MAX_IMAGE_PIXELS = None  # the limit is ours, checked before anything is decoded


def decode_image(path: str, *, max_px: int) -> Uint8s:
    """Read a picture as a person sees it.

    EXIF orientation is applied, transparency dropped, grey and palettes become RGB, of an animation the first frame
    is taken.

    Args:
        path: a local file; its name says nothing.
        max_px: width times height at most; checked before decoding.

    Returns:
        (height, width, 3) uint8 RGB.
    Raises:
        BadInputError: `empty_file`, `bad_media` (no picture, or a broken one) or `too_large`.
    """
    if Path(path).stat().st_size == 0:
        raise BadInputError("The file is empty: upload it again.", "empty_file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata do not concern anybody
        try:
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > max_px:
                    raise BadInputError(
                        f"The picture has {picture.width} x {picture.height} pixels, at most {max_px} are allowed:"
                        " make it smaller.",
                        "too_large",
                    )
                upright = ImageOps.exif_transpose(_to_eight_bits(picture))
                return np.array(upright.convert("RGB"), np.uint8)
        except BadInputError:
            raise
        except UnidentifiedImageError as error:
            raise BadInputError(
                "The file is no picture that can be read: send JPEG, PNG or WebP.", "bad_media"
            ) from error
        except Exception as error:  # Pillow's parsers raise whatever broken bytes lead them to
            raise BadInputError(f"The picture is damaged: {_reason(error)}.", "bad_media") from error


def sniff_kind(path: str) -> Literal["image", "video"]:
    """Whether the bytes begin like a picture that `decode_image` reads; anything else is left to ffmpeg."""
    with Path(path).open("rb") as file:
        head = file.read(1 << 16)
    try:
        with Image.open(io.BytesIO(head), formats=FORMATS):
            return "image"
    except UnidentifiedImageError:
        return "video"
    except Exception:  # noqa: BLE001 - it begins like a picture but is broken: `decode_image` says how
        return "image"


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey is scaled; Pillow's own conversion would clip it. Other pictures pass, with their EXIF."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    levels = np.asarray(picture, np.float32)
    top = 65535.0 if picture.mode.startswith("I") else max(float(levels.max(initial=1.0)), 1.0)
    grey = Image.fromarray(np.clip(levels * (255.0 / top), 0, 255).astype(np.uint8))
    grey.info["exif"] = picture.info.get("exif", b"")
    return grey


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".")[:200] or type(error).__name__
