"""A stack of frames, whatever their pixels look like in memory, as the few RGB pieces of it that detection needs.

Videos stay as decoders give them, a full plane of luma and two quarter planes of chroma: half the bytes of RGB. Only
what is looked at becomes RGB: a small picture for the detector, and the surroundings of each face.
"""

from typing import NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from common.types import Float32s, Frames, Uint8s

Places = npt.NDArray[np.intp]

_SPARSE = 64

# ITU-R BT.601 luminance.
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class Window(NamedTuple):
    """A rectangle of pixels; `right` and `bottom` are the first ones outside."""

    left: int
    top: int
    right: int
    bottom: int


class Pictures(Protocol):
    """Frames of one size."""

    @property
    def width_px(self) -> int:
        """Of each frame."""
        ...

    @property
    def height_px(self) -> int:
        """Of each frame."""
        ...

    def __len__(self) -> int: ...

    def is_same(self, frame: int, other: int) -> bool:
        """Whether two frames are alike to the last bit."""
        ...

    def scaled(self, frame: int, width_px: int, height_px: int) -> Uint8s:
        """A whole frame, scaled bilinearly; (height, width, 3) uint8 RGB."""
        ...

    def reduced(self, frame: int, window: Window, factor: int) -> Uint8s:
        """A part of a frame, averaged over factor x factor pixels.

        Args:
            window: inside the frame; both sides are multiples of `factor`.

        Returns:
            (height / factor, width / factor, 3) uint8 RGB.
        """
        ...

    def luma(self, rows: Places, columns: Places) -> Float32s:
        """(frames, rows, columns) float32 grey levels at some places of all frames."""
        ...


def open_pictures(frames: Frames) -> Pictures:
    """The pixels of decoded frames, without a copy."""
    return RgbPictures(frames.pixels) if frames.is_rgb else PlanarPictures(frames.pixels, frames.yuv_to_rgb)


class RgbPictures:
    """Frames that are RGB already.

    Args:
        pixels: (frames, height, width, 3) uint8.
    """

    def __init__(self, pixels: Uint8s) -> None:
        self._pixels = pixels
        self.height_px, self.width_px = pixels.shape[1:3]

    def __len__(self) -> int:
        return len(self._pixels)

    def is_same(self, frame: int, other: int) -> bool:
        """See `Pictures`."""
        return _are_same(self._pixels[frame], self._pixels[other])

    def scaled(self, frame: int, width_px: int, height_px: int) -> Uint8s:
        """See `Pictures`."""
        return _resize(self._pixels[frame], width_px, height_px, cv2.INTER_LINEAR)

    def reduced(self, frame: int, window: Window, factor: int) -> Uint8s:
        """See `Pictures`; a view where nothing is averaged."""
        left, top, right, bottom = window
        part = self._pixels[frame, top:bottom, left:right]
        if factor == 1:
            return part
        return _resize(part, (right - left) // factor, (bottom - top) // factor, cv2.INTER_AREA)

    def luma(self, rows: Places, columns: Places) -> Float32s:
        """See `Pictures`."""
        grey: Float32s = self._pixels[:, rows[:, None], columns] @ _LUMINANCE
        return grey


class PlanarPictures:
    """Frames as I420: luma, then two planes of chroma at half the width and height.

    Args:
        pixels: (frames, height * 3 / 2, width) uint8; both sides are even.
        yuv_to_rgb: (frames, 3, 4) float32; RGB is this matrix times (Y, U, V, 1).
    """

    def __init__(self, pixels: Uint8s, yuv_to_rgb: Float32s) -> None:
        self._count = len(pixels)
        self._pixels = pixels
        self.width_px = width = pixels.shape[2]
        self.height_px = height = pixels.shape[1] * 2 // 3
        self._luma = pixels[:, :height]
        chroma = pixels[:, height:].reshape(self._count, 2, height // 2, width // 2)
        self._chroma = chroma[:, 0], chroma[:, 1]
        self._matrices = yuv_to_rgb

    def __len__(self) -> int:
        return self._count

    def is_same(self, frame: int, other: int) -> bool:
        """See `Pictures`."""
        has_same_colours = np.array_equal(self._matrices[frame], self._matrices[other])
        return has_same_colours and _are_same(self._pixels[frame], self._pixels[other])

    def scaled(self, frame: int, width_px: int, height_px: int) -> Uint8s:
        """See `Pictures`."""
        planes = [self._luma[frame], *(plane[frame] for plane in self._chroma)]
        return self._to_rgb(frame, [_resize(plane, width_px, height_px, cv2.INTER_LINEAR) for plane in planes])

    def reduced(self, frame: int, window: Window, factor: int) -> Uint8s:
        """See `Pictures`. Chroma, which is coarser already, is interpolated where it need not be averaged."""
        left, top, right, bottom = window
        luma = self._luma[frame, top:bottom, left:right]
        parts = [plane[frame, top // 2 : -(-bottom // 2), left // 2 : -(-right // 2)] for plane in self._chroma]
        if factor == 1:
            rows, columns = slice(top % 2, top % 2 + bottom - top), slice(left % 2, left % 2 + right - left)
            doubled = [_resize(one, 2 * one.shape[1], 2 * one.shape[0], cv2.INTER_LINEAR) for one in parts]
            return self._to_rgb(frame, [luma, *(one[rows, columns] for one in doubled)])
        width, height = (right - left) // factor, (bottom - top) // factor
        how = cv2.INTER_LINEAR if factor % 2 else cv2.INTER_AREA
        return self._to_rgb(
            frame, [_resize(luma, width, height, cv2.INTER_AREA), *(_resize(one, width, height, how) for one in parts)]
        )

    def luma(self, rows: Places, columns: Places) -> Float32s:
        """See `Pictures`."""
        gain = self._matrices[:, :1, :1]
        grey: Float32s = self._luma[:, rows[:, None], columns] * gain
        return grey

    def _to_rgb(self, frame: int, planes: list[Uint8s]) -> Uint8s:
        return np.asarray(cv2.transform(cv2.merge(planes), self._matrices[frame]), np.uint8)


def _are_same(one: Uint8s, other: Uint8s) -> bool:
    """Different pictures differ in the few rows looked at first."""
    return np.array_equal(one[::_SPARSE], other[::_SPARSE]) and np.array_equal(one, other)


def _resize(plane: Uint8s, width_px: int, height_px: int, how: int) -> Uint8s:
    return np.asarray(cv2.resize(plane, (width_px, height_px), interpolation=how), np.uint8)
