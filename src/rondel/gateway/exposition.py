"""Figures of one process, and how Prometheus reads those of several: its text format, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

import msgspec

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """What the numbers of a family are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(NamedTuple):
    """Figures of one name; `bounds` are the upper ends of a histogram's buckets, the last one without an end."""

    name: str
    kind: Kind
    meaning: str
    bounds: tuple[float, ...] = ()


Labels = tuple[tuple[str, str], ...]


class Number(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One number of a counter or a gauge."""

    family: str
    value: float
    labels: Labels = ()


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """One histogram: how many values each bucket has, one more than there are bounds, and the sum of all values."""

    family: str
    counts: tuple[int, ...]
    total: float
    labels: Labels = ()


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """All of a process (`gateway-0`, `server`) at a moment, nanoseconds since the epoch, and what they mean."""

    process: str
    at_ns: int
    families: tuple[Family, ...]
    numbers: tuple[Number, ...] = ()
    spreads: tuple[Spread, ...] = ()
    unusable: tuple[tuple[str, str], ...] = ()
    """Connections that a worker cannot use, by id, and why: for the console, not for Prometheus."""


def exposition(figures: Sequence[Figures]) -> bytes:
    """The figures of all processes, each with the label `process`; a family that nobody has is left out.

    Processes are told apart and not added up, so that one which starts again resets its own counters alone.
    """
    lines: dict[str, list[str]] = {}
    known: dict[str, Family] = {}
    for process in figures:
        known = {family.name: family for family in process.families} | known
        own = f'process="{_escaped(process.process)}"'
        for number in process.numbers:
            text = f"{number.family}{{{_labels(own, number.labels)}}} {_value(number.value)}\n"
            lines.setdefault(number.family, []).append(text)
        for spread in process.spreads:
            lines.setdefault(spread.family, []).extend(_histogram(known[spread.family], spread, own))
    parts: list[str] = []
    for name, family in known.items():
        if name in lines:
            parts.append(f"# HELP {name} {family.meaning}\n# TYPE {name} {family.kind.value}\n")
            parts += lines[name]
    return "".join(parts).encode()


def _histogram(family: Family, spread: Spread, own: str) -> Iterable[str]:
    labels = _labels(own, spread.labels)
    ends = [*map(str, map(float, family.bounds)), "+Inf"]
    for end, count in zip(ends, accumulate(spread.counts), strict=False):
        yield f'{family.name}_bucket{{{labels},le="{end}"}} {count}\n'
    yield f"{family.name}_sum{{{labels}}} {_value(spread.total)}\n"
    yield f"{family.name}_count{{{labels}}} {sum(spread.counts)}\n"


def _labels(own: str, labels: Labels) -> str:
    return ",".join([own, *(f'{name}="{_escaped(value)}"' for name, value in labels)])


_ESCAPES: Mapping[int, str] = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)


def _value(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
