"""Crops and thumbnails as JPEG files."""

from typing import Final

import cv2
import numpy as np

from common.types import Uint8s

#: Longer side of a thumbnail at most.
THUMBNAIL_PX: Final = 160

# Colour at full resolution: crops are embedded again when the model changes.
_CROP: Final = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_THUMBNAIL: Final = [cv2.IMWRITE_JPEG_QUALITY, 85]


def encode_crop(crop: Uint8s) -> bytes:
    """An aligned crop, (112, 112, 3) uint8 RGB, nearly without loss."""
    return _encode(crop, _CROP)


def decode_crop(data: bytes) -> Uint8s:
    """Inverse of `encode_crop`.

    Raises:
        ValueError: not a JPEG.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise ValueError("the crop is not a JPEG file")
    return np.asarray(image, np.uint8)


def encode_thumbnail(patch: Uint8s) -> bytes:
    """A patch, (height, width, 3) uint8 RGB, reduced to `THUMBNAIL_PX` if it is larger."""
    height, width = patch.shape[:2]
    shrink = THUMBNAIL_PX / max(height, width)
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        patch = np.asarray(cv2.resize(patch, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _encode(patch, _THUMBNAIL)


def _encode(image: Uint8s, parameters: list[int]) -> bytes:
    is_encoded, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)
    if not is_encoded:
        raise ValueError(f"OpenCV cannot encode a picture of shape {image.shape}")
    return bytes(data)
