"""Draws the false match and false non-match rates over the bound, as a PNG."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 960, 600
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 110, 70
_DECADES: Final = 6
_INK, _FAINT, _PAPER = "#222222", "#dddddd", "#ffffff"
_FMR, _FNMR, _CHOSEN, _CURRENT = "#b2182b", "#2166ac", "#1a7d36", "#888888"

Point = tuple[float, float]


def draw_curve(grid: Sequence[Sequence[float | None]], *, current: float, chosen: Mapping[str, Any] | None) -> bytes:
    """A PNG file, 960 x 600.

    Args:
        grid: (similarity, FMR, FNMR or None) by rising similarity, at least two.
        current: the bound that holds now.
        chosen: what is recommended, with `min_similarity` and `fmr`; None: nothing is.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    font, large = ImageFont.load_default(15), ImageFont.load_default(20)
    low, high = float(grid[0][0] or 0), float(grid[-1][0] or 0)

    def x_of(similarity: float) -> float:
        return _LEFT + (similarity - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    _rows(draw, font)
    for tenth in range(math.ceil(low * 10), math.floor(high * 10) + 1):
        x = x_of(tenth / 10)
        draw.line([(x, _TOP), (x, _HEIGHT - _BOTTOM)], fill=_FAINT)
        draw.text((x, _HEIGHT - _BOTTOM + 8), f"{tenth / 10:.1f}", fill=_INK, font=font, anchor="ma")
    draw.line([(_LEFT, _TOP), (_LEFT, _HEIGHT - _BOTTOM), (_WIDTH - _RIGHT, _HEIGHT - _BOTTOM)], fill=_INK, width=2)
    draw.text((_LEFT, 14), "False matches and false non-matches over min_similarity", fill=_INK, font=large)
    fmr = [
        (x_of(at), _y_of(rate)) for at, rate, _ in grid if at is not None and rate is not None and rate >= 10**-_DECADES
    ]
    fnmr = [
        (x_of(at), _y_of(rate)) for at, _, rate in grid if at is not None and rate is not None and rate >= 10**-_DECADES
    ]
    for points, colour in ((fmr, _FMR), (fnmr, _FNMR)):
        if len(points) > 1:
            draw.line(points, fill=colour, width=3)
    legend = [(_FMR, "FMR: different people taken for one"), (_FNMR, "FNMR: one person not recognised")]
    if not fnmr:
        legend[1] = (_FNMR, "FNMR: unknown, nobody has two samples")
    _vertical(draw, x_of(current), _CURRENT)
    legend.append((_CURRENT, f"in force: {current:.3f}"))
    if chosen is not None:
        _vertical(draw, x_of(float(chosen["min_similarity"])), _CHOSEN)
        legend.append((_CHOSEN, f"recommended: {chosen['min_similarity']:.3f} for FMR {chosen['fmr']:.1e}"))
    for place, (colour, text) in enumerate(legend):
        left, y = _LEFT + 400 * (place % 2), 50 + 24 * (place // 2)
        draw.line([(left, y + 9), (left + 18, y + 9)], fill=colour, width=4)
        draw.text((left + 26, y), text, fill=_INK, font=font)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _y_of(rate: float) -> float:
    decades = -math.log10(max(rate, 10**-_DECADES))
    return _TOP + decades / _DECADES * (_HEIGHT - _TOP - _BOTTOM)


def _rows(draw: Any, font: Any) -> None:
    for decade in range(_DECADES + 1):
        y = _y_of(10.0**-decade)
        draw.line([(_LEFT, y), (_WIDTH - _RIGHT, y)], fill=_FAINT)
        label = f"{10.0**-decade:g}" if decade < 4 else f"1e-{decade}"
        draw.text((_LEFT - 10, y), label, fill=_INK, font=font, anchor="rm")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    draw.text((middle, _HEIGHT - 34), "min_similarity (cosine)", fill=_INK, font=font, anchor="ma")
    draw.text((14, _TOP - 4), "rate", fill=_INK, font=font, anchor="ls")


def _vertical(draw: Any, x: float, colour: str) -> None:
    for y in range(_TOP, _HEIGHT - _BOTTOM, 12):
        draw.line([(x, y), (x, min(y + 7, _HEIGHT - _BOTTOM))], fill=colour, width=2)
