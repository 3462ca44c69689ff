"""Plots as plain SVG: bars in groups, and lines. Colours work on light and dark ground."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 48, 76
COLOURS = ("#2f7ed8", "#e07b39", "#8a8f98", "#4caf6d", "#b05cc6")
INK, GRID = "#7b818a", "#7b818a44"
STYLE = f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}"'

Points = Sequence[tuple[float, float]]


def _ticks(highest: float) -> list[float]:
    """Return round numbers from 0 to just above `highest`."""
    if highest <= 0:
        return [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(highest / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if highest / (step * factor) <= 5)
    return [step * number for number in range(math.ceil(highest / step) + 1)]


def _text(x: float, y: float, words: str, anchor: str = "middle", turn: str = "") -> str:
    rotated = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{rotated}>{escape(words)}</text>'


def _frame(title: str, unit: str, ticks: Sequence[float], names: Sequence[str]) -> tuple[list[str], float]:
    """Return what every plot has: title, horizontal lines, legend; and the pixels per unit."""
    scale = (HEIGHT - TOP - BOTTOM) / ticks[-1]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {STYLE}>',
        f'<text x="{LEFT}" y="18" font-size="15" font-weight="600">{escape(title)}</text>',
        _text(14, (TOP + HEIGHT - BOTTOM) / 2, unit, turn="-90"),
    ]
    for tick in ticks:
        y = HEIGHT - BOTTOM - tick * scale
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{tick:g}", "end"))
    x = float(LEFT)
    for name, colour in zip(names, COLOURS, strict=False):
        parts.append(f'<rect x="{x:.1f}" y="27" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 14, 36, name, "start"))
        x += 30 + 7 * len(name)
    return parts, scale


def bars(title: str, unit: str, groups: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    """Draw one group of bars per name in `groups`, one bar in it per series."""
    values = [value for row in series.values() for value in row if value is not None]
    parts, scale = _frame(title, unit, _ticks(max(values, default=0)), list(series))
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    width = min(46.0, slot * 0.8 / max(1, len(series)))
    for place, group in enumerate(groups):
        middle = LEFT + slot * (place + 0.5)
        parts.append(
            _text(middle, HEIGHT - BOTTOM + 16, group, "end" if slot < 70 else "middle", "-30" if slot < 70 else "")
        )
        for number, row in enumerate(series.values()):
            value = row[place]
            if value is None:
                continue
            x, tall = middle + (number - len(series) / 2) * width, value * scale
            y = HEIGHT - BOTTOM - tall
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{tall:.1f}" fill="{colour}"/>')
            parts.append(_text(x + width / 2 - 1, y - 3, f"{value:.3g}"))
    return "\n".join([*parts, "</svg>", ""])


def lines(title: str, unit: str, x_unit: str, series: Mapping[str, Points], *, x_most: float | None = None) -> str:
    """Draw each series as a line; `x_most` cuts what lies farther to the right."""
    farthest = x_most or max((x for points in series.values() for x, _ in points), default=1.0)
    highest = max((y for points in series.values() for _, y in points), default=1.0)
    parts, scale = _frame(title, unit, _ticks(highest), list(series))
    ticks = _ticks(farthest)
    wide = (WIDTH - LEFT - RIGHT) / ticks[-1]
    for tick in ticks:
        parts.append(_text(LEFT + tick * wide, HEIGHT - BOTTOM + 16, f"{tick:g}"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 36, x_unit))
    for colour, points in zip(COLOURS, series.values(), strict=False):
        kept = [(x, y) for x, y in points if x <= ticks[-1]]
        path = " ".join(f"{LEFT + x * wide:.1f},{HEIGHT - BOTTOM - y * scale:.1f}" for x, y in kept)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>", ""])
