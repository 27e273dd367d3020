"""Pictures keep what they are told inside their frame, and escape what comes from outside."""

import re
from typing import NamedTuple
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from rondel.web import pictures

shares = st.floats(-1, 1, allow_nan=False)


class Point(NamedTuple):
    n: int
    value: float
    low: float
    high: float


def point(n: int, ends: tuple[float, float, float]) -> Point:
    low, value, high = sorted(ends)
    return Point(n, value, low, high)


points = st.builds(point, st.integers(1, 100_000), st.tuples(shares, shares, shares))


@given(st.lists(points, min_size=1, max_size=30), st.none() | st.floats(0, 0.5), st.none() | st.integers(1, 100_000))
def test_a_confidence_sequence_stays_in_its_frame(
    found: list[Point], margin: float | None, safe_at: int | None
) -> None:
    picture = pictures.confidence_sequence(found, margin=margin, safe_at=safe_at, stopped_at=None, label="Quality")
    drawing = ElementTree.fromstring(str(picture))
    band = next(shape for shape in drawing if shape.get("class") == "band")
    for pair in (band.get("points") or "").split():
        x, y = (float(part) for part in pair.split(","))
        assert pictures.LEFT <= x <= pictures.WIDTH - pictures.RIGHT
        assert pictures.TOP <= y <= pictures.HEIGHT - pictures.BOTTOM


def test_the_first_safe_look_is_marked_where_it_happened() -> None:
    found = [Point(30, 0.0, -0.1, 0.1), Point(60, 0.02, -0.01, 0.05), Point(90, 0.0, -0.03, 0.03)]
    picture = pictures.confidence_sequence(found, margin=0.02, safe_at=60, stopped_at=None, label="Quality")
    assert "safe to promote at 60 answers" in picture


@given(shares, shares, shares, st.floats(0.001, 1), st.text(max_size=20))
def test_an_interval_stays_between_its_ends(low: float, value: float, high: float, span: float, state: str) -> None:
    picture = str(pictures.interval(min(low, high), value, max(low, high), span=span, state=state))
    lengths = [float(part) for part in re.findall(r'(?:x|width)="([\d.]+)%"', picture)]
    assert all(0 <= length <= 100 for length in lengths)
    assert "<script" not in picture


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)), max_size=80))
def test_bars_are_as_high_as_their_counts(counts: list[tuple[int, int]]) -> None:
    ok, error = [pair[0] for pair in counts], [pair[1] for pair in counts]
    top = max([sum(pair) for pair in counts] + [3])
    drawing = str(pictures.bars(ok, error, top))
    drawn = drawing.count("z")
    assert drawn == sum(value > 0 for value in ok) + sum(value > 0 for value in error)


def test_labels_are_escaped() -> None:
    assert "<b>" not in pictures.series([(0, 1.0), (1, 2.0)], label="<b>loss</b>")
