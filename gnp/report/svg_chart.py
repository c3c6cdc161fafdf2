"""Line charts as SVG. The page around a chart sets its colours, in a light and a dark scheme.

Under the pointer, a chart tells the values of its curves, without a script.
"""

import bisect
import html
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

_WIDTH, _HEIGHT = 460, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 10, 10, 34
# At most so many places along the horizontal axis tell their values.
_NUM_READINGS = 75


class Curve(NamedTuple):
    """A curve with a band around it.

    Attributes:
      name: as the values under the pointer have it.
      number: of its look, as in the class `series0`.
      x: ascending.
      mean: of the curve.
      spread: half the width of the band.
    """

    name: str
    number: int
    x: Sequence[float]
    mean: Sequence[float]
    spread: Sequence[float]


def line_chart(curves: Sequence[Curve], *, x_label: str, y_label: str, logarithmic: bool) -> str:
    """An SVG element with axes, ticks and all curves.

    Args:
      curves: at least one, with at least one finite point between them.
      x_label, y_label: what the axes mean, with units.
      logarithmic: for the vertical axis; values that are not positive are skipped.
    """
    curves = [_finite(curve, logarithmic) for curve in curves]
    x_axis = _Axis([x for c in curves for x in c.x], False, _LEFT, _WIDTH - _RIGHT)
    heights = [y for c in curves for y in _edges(c, logarithmic)]
    y_axis = _Axis(heights, logarithmic, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(y_label)}">'
    ]
    for value, text in x_axis.ticks():
        parts.append(_vertical_tick(x_axis.at(value), text))
    for value, text in y_axis.ticks():
        parts.append(_horizontal_tick(y_axis.at(value), text))
    for curve in curves:
        parts += _drawn(curve, x_axis, y_axis, logarithmic)
    parts += _readings(curves, x_axis, x_label)
    parts.append(_label((_LEFT + _WIDTH) / 2, _HEIGHT - 4, x_label))
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="label" text-anchor="middle" transform="translate(11 {middle}) rotate(-90)">'
        f"{html.escape(y_label)}</text>"
    )
    return "".join([*parts, "</svg>"])


class _Axis:
    def __init__(self, values, logarithmic, start, end):
        self._logarithmic = logarithmic
        scaled = [math.log10(value) if logarithmic else value for value in values]
        self._low, self._high = min(scaled), max(scaled)
        if self._low == self._high:
            margin = abs(self._low) * 0.1 or 1
            self._low, self._high = self._low - margin, self._high + margin
        self._start, self._end = start, end

    def at(self, value):
        scaled = math.log10(value) if self._logarithmic else value
        share = (scaled - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self):
        if self._logarithmic:
            for factors in ((1,), (1, 2, 5)):
                values = self._multiples_of_powers(factors)
                if len(values) > 2:
                    return [(value, f"{value:g}") for value in values]
        low, high = (10**x if self._logarithmic else x for x in (self._low, self._high))
        step = _nice((high - low) / 6)
        first = math.ceil(low / step)
        return [
            (n * step, f"{n * step:.6g}")
            for n in range(first, math.floor(high / step) + 1)
            if n * step > 0 or not self._logarithmic
        ]

    def _multiples_of_powers(self, factors):
        """The powers of ten on the axis, or every n-th if they are many, times some factors."""
        first, last = math.floor(self._low), math.floor(self._high)
        powers = range(first, last + 1, max(1, (last - first) // 4))
        values = [factor * 10.0**n for n in powers for factor in factors]
        return [value for value in values if self._low <= math.log10(value) <= self._high]


def _nice(step):
    power = 10 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)


def _finite(curve, logarithmic):
    kept = [
        (x, y, s if math.isfinite(s) else 0.0)
        for x, y, s in zip(curve.x, curve.mean, curve.spread, strict=True)
        if math.isfinite(y) and (y > 0 or not logarithmic)
    ]
    x, mean, spread = zip(*kept, strict=True) if kept else ((), (), ())
    return curve._replace(x=x, mean=mean, spread=spread)


def _edges(curve, logarithmic):
    """The upper edge of the band, then the lower one; on a logarithmic axis it stays positive."""
    upper = [y + s for y, s in zip(curve.mean, curve.spread, strict=True)]
    lower = [y - s for y, s in zip(curve.mean, curve.spread, strict=True)]
    if logarithmic:
        lower = [max(low, y / 10) for low, y in zip(lower, curve.mean, strict=True)]
    return upper + lower


def _drawn(curve, x_axis, y_axis, logarithmic):
    places = [x_axis.at(x) for x in curve.x]
    if any(curve.spread):
        edges = _edges(curve, logarithmic)
        count = len(places)
        outline = [
            *zip(places, edges[:count], strict=True),
            *zip(places[::-1], edges[count:][::-1], strict=True),
        ]
        points = " ".join(f"{x},{y_axis.at(y)}" for x, y in outline)
        yield f'<polygon class="band series{curve.number}" points="{points}"/>'
    points = " ".join(f"{x},{y_axis.at(y)}" for x, y in zip(places, curve.mean, strict=True))
    if len(places) == 1:  # a line of one point is not visible
        centre = f'cx="{places[0]}" cy="{y_axis.at(curve.mean[0])}"'
        yield f'<circle class="line series{curve.number}" {centre} r="2.5"/>'
        return
    yield f'<polyline class="line series{curve.number}" points="{points}"/>'


def _readings(curves, x_axis, x_label):
    """Invisible strips with a tooltip: the values of all curves at the place in the strip."""
    places = sorted({x for curve in curves for x in curve.x})
    every = math.ceil(len(places) / _NUM_READINGS)
    places = places[::-1][::every][::-1]  # with the last one
    middles = [(x_axis.at(a) + x_axis.at(b)) / 2 for a, b in itertools.pairwise(places)]
    edges = [_LEFT, *middles, _WIDTH - _RIGHT]
    for x, (left, right) in zip(places, itertools.pairwise(edges), strict=True):
        values = [f"{curve.name}: {value}" for curve in curves if (value := _value_at(curve, x))]
        text = html.escape("\n".join([f"{x_label} {x:,}", *values]))
        yield (
            f'<rect class="reading" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
            f'height="{_HEIGHT - _BOTTOM - _TOP}"><title>{text}</title></rect>'
        )


def _value_at(curve, x):
    """The last value up to a place, and its spread; empty where the curve has none."""
    number = bisect.bisect_right(curve.x, x) - 1
    if number < 0 or x > curve.x[-1]:
        return ""
    spread = f" ± {curve.spread[number]:.2g}" if curve.spread[number] else ""
    return f"{curve.mean[number]:.4g}{spread}"


def _vertical_tick(x, text):
    bottom = _HEIGHT - _BOTTOM
    line = f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>'
    return line + f'<text class="tick" text-anchor="middle" x="{x}" y="{bottom + 13}">{text}</text>'


def _horizontal_tick(y, text):
    line = f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
    return (
        line + f'<text class="tick" text-anchor="end" x="{_LEFT - 5}" y="{y + 3.5}">{text}</text>'
    )


def _label(x, y, text):
    return f'<text class="label" text-anchor="middle" x="{x}" y="{y}">{html.escape(text)}</text>'
