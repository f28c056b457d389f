"""Pictures that were never taken: turned, mixed, darkened, blurred and covered faces."""

from typing import Final

import cv2
import numpy as np

from common.types import Uint8s
from training.lfw import MARGIN_PX
from workers.embed.align import CROP_SIDE_PX

_SIDE: Final = CROP_SIDE_PX + 2 * MARGIN_PX
_X, _Y = np.meshgrid(np.arange(CROP_SIDE_PX, dtype=np.float32), np.arange(CROP_SIDE_PX, dtype=np.float32))
_MIDDLE: Final = (CROP_SIDE_PX - 1) / 2


def turn(crop: Uint8s, rng: np.random.Generator) -> Uint8s:
    """(144, 144, 3) to (112, 112, 3) by a random similarity, as a less exact detector would align it, or mirrored.

    Now and then the shape of the face is bent too, which makes another person of it.
    """
    angle, scale = np.deg2rad(rng.normal(0, 4)), np.exp(rng.normal(0, 0.04))
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    x, y = _X - _MIDDLE, _Y - _MIDDLE
    if rng.random() < 0.5:
        x = -x
    shift_x, shift_y = rng.normal(0, 1.6, 2)
    from_x = cosine * x - sine * y + _MIDDLE + MARGIN_PX + shift_x
    from_y = sine * x + cosine * y + _MIDDLE + MARGIN_PX + shift_y
    if rng.random() < 0.4:
        bend = rng.normal(0, 2.2, (5, 5, 2)).astype(np.float32)
        bend = cv2.resize(bend, (CROP_SIDE_PX, CROP_SIDE_PX), interpolation=cv2.INTER_CUBIC)
        from_x, from_y = from_x + bend[..., 0], from_y + bend[..., 1]
    moved = cv2.remap(
        crop, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def mix(one: Uint8s, other: Uint8s, rng: np.random.Generator) -> Uint8s:
    """A face nobody has: two crops blended evenly, or by smooth patches."""
    if rng.random() < 0.5:
        share = rng.uniform(0.25, 0.75)
        return np.asarray(cv2.addWeighted(one, share, other, 1 - share, 0), np.uint8)
    mask = cv2.resize(rng.normal(0, 6, (4, 4)).astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    share = (1 / (1 + np.exp(-mask)))[..., None]
    return (one * share + other * (1 - share)).astype(np.uint8)


def degrade(image: Uint8s, rng: np.random.Generator) -> Uint8s:
    """What cameras and codecs do to a picture: light, colour, size, blur, noise, JPEG, something in front."""
    height, width = image.shape[:2]
    chance = rng.random(6)
    if chance[0] < 0.7:
        level = np.arange(256, dtype=np.float32)[:, None] / 255
        gamma = np.exp(rng.normal(0, 0.25))
        gain = np.exp(rng.normal(0, 0.22) + rng.normal(0, 0.07, 3))
        table = np.clip((level**gamma * gain + rng.normal(0, 0.06)) * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table.reshape(1, 256, 3))
    if chance[1] < 0.08:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance[2] < 0.25:
        share = rng.uniform(0.25, 0.8)
        small = cv2.resize(image, (int(width * share), int(height * share)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    elif chance[2] < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.8))
    if chance[3] < 0.15:
        image = np.clip(image + rng.normal(0, rng.uniform(2, 12), image.shape), 0, 255).astype(np.uint8)
    if chance[4] < 0.15:
        quality = int(rng.integers(20, 80))
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    if chance[5] < 0.06:
        x, y = int(rng.integers(0, width * 4 // 5)), int(rng.integers(0, height * 4 // 5))
        image = image.copy()
        image[y : y + int(rng.integers(12, 45)), x : x + int(rng.integers(12, 45))] = rng.integers(0, 255, 3)
    return np.asarray(image, np.uint8)
