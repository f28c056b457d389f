"""Line plots as SVG, readable on light and on dark pages; nothing but the standard library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 64, 56

#: Colours of lines that are told apart on white and on black, by people who see fewer colours too.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_STYLE: Final = (
    "svg{font:13px system-ui,sans-serif}.page{fill:#fff}text{fill:#1f2328}.soft{stroke:#d1d9e0}.axis{stroke:#59636e}"
    "@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#f0f6fc}.soft{stroke:#30363d}"
    ".axis{stroke:#9198a1}}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One series.

    Attributes:
        name: in the legend.
        points: (x, y), by x.
        is_dashed: for what was computed rather than measured.
    """

    name: str
    points: Sequence[tuple[float, float]]
    is_dashed: bool = False


def draw(title: str, x_label: str, y_label: str, lines: Sequence[Line], *, log_x: bool = False) -> str:
    """An SVG document; y begins at 0, x has a tick at each point.

    Args:
        x_label, y_label: with units.
        log_x: equal distances are equal factors; x must be above 0.

    Raises:
        ValueError: there is no point, or one that a logarithm has no place for.
    """
    xs = sorted({x for line in lines for x, _ in line.points})
    if not xs:
        raise ValueError("there is nothing to draw")
    if log_x and xs[0] <= 0:
        raise ValueError("a logarithmic axis begins above 0")
    ticks = nice_ticks(max(y for line in lines for _, y in line.points))
    first, last = (_place(x, log_x=log_x) for x in (xs[0], xs[-1]))

    def across(x: float) -> float:
        share = (_place(x, log_x=log_x) - first) / (last - first) if last > first else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def down(y: float) -> float:
        return round(HEIGHT - _BOTTOM - y / ticks[-1] * (HEIGHT - _TOP - _BOTTOM), 1)

    floor, middle = down(0), (_LEFT + WIDTH - _RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' role="img" aria-label="{escape(title, quote=True)}">',
        f"<style>{_STYLE}</style>",
        '<rect class="page" width="100%" height="100%"/>',
        _text(WIDTH / 2, 22, title, weight="bold"),
    ]
    for tick in ticks:
        parts.append(_rule(_LEFT, down(tick), WIDTH - _RIGHT, down(tick), "soft"))
        parts.append(_text(_LEFT - 8, down(tick) + 4, short(tick), anchor="end"))
    for x in xs:
        parts.append(_rule(across(x), floor, across(x), floor + 5, "axis"))
        parts.append(_text(across(x), floor + 19, short(x)))
    parts.append(_rule(_LEFT, floor, WIDTH - _RIGHT, floor, "axis"))
    parts.append(_text(middle, HEIGHT - 12, x_label))
    up = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(f'<text transform="translate(18 {up:g}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    for number, line in enumerate(lines):
        parts += _series(line, _COLOURS[number % len(_COLOURS)], [(across(x), down(y)) for x, y in line.points])
        parts += _legend(line, _COLOURS[number % len(_COLOURS)], _LEFT + number * (WIDTH - _LEFT) / len(lines))
    return "\n".join([*parts, "</svg>", ""])


def nice_ticks(highest: float) -> list[float]:
    """0 and a few round numbers, the last at or above `highest`."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [round(step * number, 10) for number in range(math.ceil(highest / step - 1e-9) + 1)]


def short(value: float) -> str:
    """1,000 as 1k, a million as 1M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _place(x: float, *, log_x: bool) -> float:
    return math.log10(x) if log_x else x


def _series(line: Line, colour: str, places: Sequence[tuple[float, float]]) -> list[str]:
    path = " ".join(f"{x:g},{y:g}" for x, y in places)
    dash = ' stroke-dasharray="6 5"' if line.is_dashed else ""
    drawn = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    if not line.is_dashed:
        drawn += [f'<circle cx="{x:g}" cy="{y:g}" r="4" fill="{colour}"/>' for x, y in places]
    return drawn


def _legend(line: Line, colour: str, x: float) -> list[str]:
    dash = ' stroke-dasharray="6 5"' if line.is_dashed else ""
    rule = f'<line x1="{x:g}" y1="44" x2="{x + 26:g}" y2="44" stroke="{colour}" stroke-width="2"{dash}/>'
    return [rule, _text(x + 32, 48, line.name, anchor="start")]


def _rule(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "middle", weight: str = "normal") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
