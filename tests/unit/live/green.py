"""The colour of the boxes in a frame."""

from common.types import Uint8s


def green_share(pixels: Uint8s) -> float:
    """How much of a frame has it, although a video codec has been at it."""
    red, green, blue = (pixels[..., channel].astype(int) for channel in range(3))
    return float(((green > 150) & (red < 110) & (blue < 110)).mean())
