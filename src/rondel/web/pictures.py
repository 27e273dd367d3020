"""Pictures as SVG text, the same in the console and in a report.

Positions are per cents or a view box: no script draws and no style attribute is needed. Text that comes from outside
goes through Markup's escaping.
"""

from collections.abc import Sequence
from typing import Protocol

from markupsafe import Markup

from rondel.web.formats import signed


class Looked(Protocol):
    """A point of a confidence sequence after `n` answers."""

    @property
    def n(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


WIDTH, HEIGHT = 760, 228
LEFT, TOP, BOTTOM, RIGHT = 44, 12, 24, 122
TICK_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)


def percent_of(share: float) -> str:
    """A share as an SVG length, cut to [0, 100] %."""
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def bar(share: float, state: str, ticks: Sequence[int], label: str) -> Markup:
    """How much of something is used, with a tick at each of some per cents."""
    lines = Markup().join(
        Markup('<line x1="{0}%" x2="{0}%" y1="0" y2="10"/>').format(tick) for tick in ticks if 0 < tick < 100
    )
    return Markup(
        '<svg class="use {}" role="img" aria-label="{}"><rect class="bed" width="100%" y="2" height="6"/>'
        '<rect width="{}" y="2" height="6"/>{}</svg>'
    ).format(state, label, percent_of(share), lines)


def confidence_sequence(
    points: Sequence[Looked], *, margin: float | None, safe_at: int | None, stopped_at: int | None, label: str
) -> Markup:
    """The difference look by look, its interval as a band, and the zone in which it is rolled back.

    `safe_at` and `stopped_at` are answers at the first look at which the limit held, and at which it was broken: as it
    happened, not in hindsight.
    """
    last = points[-1]
    reach = _reach(points, margin)
    most = max(point.n for point in points) or 1

    def x(n: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * n / most

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (reach - min(max(value, -reach), reach)) / (2 * reach)

    upper = " ".join(f"{x(p.n):.1f},{y(p.high):.1f}" for p in points)
    lower = " ".join(f"{x(p.n):.1f},{y(p.low):.1f}" for p in reversed(points))
    middle = " ".join(f"{x(p.n):.1f},{y(p.value):.1f}" for p in points)
    parts = [*_grid(reach, most, x, y)]
    if margin is not None:
        parts.append(_zone(y(-margin), margin))
    parts.append(Markup('<polygon points="{} {}" class="band"/>').format(upper, lower))
    parts.append(Markup('<polyline points="{}" class="mid"/>').format(middle))
    if safe_at is not None:
        parts.append(_moment(x(safe_at), "cr", "lbl", f"safe to promote at {safe_at:,} answers"))
    if stopped_at is not None:
        parts.append(_moment(x(stopped_at), "stop", "stopl", f"rolled back at {stopped_at:,} answers", TOP + 26))
    height = min(max(y(last.value), TOP + 12), HEIGHT - BOTTOM - 14)
    if len(points) == 1:
        whisker = Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}" class="whisker"/>')
        parts.append(whisker.format(x(last.n), y(last.high), y(last.low)))
    parts.append(Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.5" class="dot"/>').format(x(last.n), y(last.value)))
    parts.append(
        Markup('<text x="{:.1f}" y="{:.1f}" class="now">{}</text>').format(x(last.n) + 9, height, signed(last.value))
    )
    between = f"{signed(last.low)} to {signed(last.high)}"
    parts.append(Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(x(last.n) + 9, height + 15, between))
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"{label}: {signed(last.value)}, 95 % interval {between}", Markup().join(parts)
    )


def _reach(points: Sequence[Looked], margin: float | None) -> float:
    """Half of the height in units of the score: what the last half of the looks needs, so early noise is cut off."""
    settled = points[len(points) // 2 :]
    needed = max([abs(point.low) for point in settled] + [abs(point.high) for point in settled] + [2 * (margin or 0)])
    return min(max(1.25 * needed, 0.02), 1.0)


def _grid(reach: float, most: int, x: "Axis", y: "Axis") -> list[Markup]:
    step = next((step for step in TICK_STEPS if reach / step <= 2.9), TICK_STEPS[-1])
    count = int(reach / step)
    found: list[Markup] = []
    for tick in range(-count, count + 1):
        value = tick * step
        line = Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="{}"/>')
        found.append(line.format(LEFT, WIDTH - RIGHT, y(value), y(value), "g" if tick else "z"))
        text = signed(value, 3 if step < 0.01 else 2) if tick else "0"
        found.append(Markup('<text x="{}" y="{:.1f}" class="e">{}</text>').format(LEFT - 8, y(value) + 4, text))
    below = Markup('<text x="{:.1f}" y="{}" class="m">{:,}</text>')
    return found + [below.format(x(tick), HEIGHT - 6, tick) for tick in _whole_ticks(most)]


class Axis(Protocol):
    """A value to a coordinate."""

    def __call__(self, value: float, /) -> float: ...


def _whole_ticks(most: int) -> range:
    """About six whole numbers from 0 to `most`."""
    wanted = max(most / 6, 1)
    size = 10 ** (len(str(int(wanted))) - 1)
    step = next((factor * size for factor in (1, 2, 5, 10) if factor * size >= wanted), 10 * size)
    return range(0, most + 1, step)


def _zone(top: float, margin: float) -> Markup:
    floor = HEIGHT - BOTTOM
    return Markup(
        '<rect x="{}" y="{:.1f}" width="{}" height="{:.1f}" class="zone"/>'
        '<text x="{}" y="{:.1f}" class="zonel">roll back if the upper bound falls below {}</text>'
    ).format(LEFT, top, WIDTH - LEFT - RIGHT, max(floor - top, 0), LEFT + 8, floor - 8, signed(-margin, 2))


def _moment(at: float, line: str, text: str, said: str, height: float = TOP + 12) -> Markup:
    left = at > (WIDTH - RIGHT) * 0.72
    return Markup(
        '<line x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}" class="{3}"/>'
        '<text x="{4:.1f}" y="{5}" class="{6}">{7}</text>'
    ).format(at, TOP, HEIGHT - BOTTOM, line, at - 6 if left else at + 6, height, f"{text} e" if left else text, said)


def interval(low: float, value: float, high: float, *, span: float, state: str) -> Markup:
    """A small interval with no difference in the middle; `span` is the difference at either end."""

    def share(difference: float) -> float:
        return 0.5 + 0.5 * min(max(difference / span, -1.0), 1.0)

    return Markup(
        '<svg class="iv" role="img" aria-label="{}">'
        '<line class="ax" x1="0" x2="100%" y1="8" y2="8"/><line class="z" x1="50%" x2="50%" y1="0" y2="16"/>'
        '<rect class="{}" x="{}" y="5" width="{}" height="6" rx="3"/>'
        '<rect class="at" x="{}" y="2" width="3" height="12" rx="1.5"/></svg>'
    ).format(
        f"{signed(value)}, {signed(low)} to {signed(high)}",
        state,
        percent_of(share(low)),
        percent_of(max(share(high) - share(low), 0.006)),
        percent_of(share(value) - 0.004),
    )


def bars(ok: Sequence[int], error: Sequence[int], top: int) -> Markup:
    """A histogram in a view box of one unit per bar: errors stand on top of what went well."""
    good, bad = _columns(ok, [0] * len(ok), top), _columns(error, ok, top)
    return Markup('<path class="ok" d="{}"/><path class="error" d="{}"/>').format(good, bad)


def _columns(values: Sequence[int], below: Sequence[int], top: int) -> str:
    pieces: list[str] = []
    for index, (value, under) in enumerate(zip(values, below, strict=True)):
        if value:
            high, base = 100 * (value + under) / top, 100 * under / top
            pieces.append(f"M{index + 0.14:.2f} {100 - base:.1f}V{100 - high:.1f}h.72V{100 - base:.1f}z")
    return "".join(pieces)


def series(points: Sequence[tuple[float, float]], *, label: str) -> Markup:
    """A line over steps: `(step, value)`, at most 400 of them drawn."""
    step = max(len(points) // 400, 1)
    drawn = [*points[::step], points[-1]]
    low, high = min(value for _, value in points), max(value for _, value in points)
    first, last = points[0][0], points[-1][0]
    left = LEFT + 12
    height, span = 160, (high - low) or 1.0
    wide = (last - first) or 1.0

    def place(point: tuple[float, float]) -> str:
        x = left + (WIDTH - left - 20) * (point[0] - first) / wide
        return f"{x:.1f},{12 + (height - 40) * (high - point[1]) / span:.1f}"

    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><line x1="{}" x2="{}" y1="12" y2="12" class="g"/>'
        '<line x1="{}" x2="{}" y1="{}" y2="{}" class="g"/><text x="{}" y="16" class="e">{:.3g}</text>'
        '<text x="{}" y="{}" class="e">{:.3g}</text><text x="{}" y="{}">{:g}</text>'
        '<text x="{}" y="{}" class="e">{:g}</text><polyline points="{}" class="mid"/></svg>'
    ).format(
        WIDTH,
        height,
        f"{label} over steps, last {points[-1][1]:.4g}",
        *(left, WIDTH - 20),
        *(left, WIDTH - 20, height - 28, height - 28),
        *(left - 8, high),
        *(left - 8, height - 24, low),
        *(left, height - 8, first),
        *(WIDTH - 20, height - 8, last),
        " ".join(place(point) for point in drawn),
    )
