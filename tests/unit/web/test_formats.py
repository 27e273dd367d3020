"""Figures as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from rondel.web import formats

NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.4, "0.4 ms"),
        (46.4, "46 ms"),
        (999.6, "1.00 s"),
        (1020, "1.02 s"),
        (125_000, "2 min 05 s"),
        (7_260_000, "2 h 01 min"),
    ],
)
def test_durations_are_read_in_the_unit_that_fits(ms: float | None, text: str) -> None:
    assert formats.duration(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (-5, "0s"), (9, "9s"), (92, "1m 32s"), (7500, "2h 05m"), (273_600, "3d 4h")]
)
def test_times_passed_show_their_two_largest_units(seconds: float | None, text: str) -> None:
    assert formats.span_of_time(seconds) == text


def test_unknown_is_a_dash_and_never_zero() -> None:
    shown = {
        formats.number(None),
        formats.percent(None),
        formats.score(None),
        formats.signed(None),
        formats.measure(None, "ms"),
        formats.size(None),
        formats.moment(None),
        formats.ago(None, NOW),
    }
    assert shown == {"–"}


def test_negative_figures_have_a_true_minus() -> None:
    assert formats.signed(-0.02, 2) == "−0.02"
    assert formats.signed(0.023) == "+0.023"
    assert formats.percent(-0.25) == "−25 %"
    assert formats.score(-0.5) == "−0.50"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.861, "score", "0.861"),
        (0.019, "share", "1.9 %"),
        (4820, "ms", "4.82 s"),
        (0.00041, "usd", "$0.00041"),
        (3, "pieces", "3 pieces"),
    ],
)
def test_a_measure_is_read_in_its_unit(value: float, unit: str, text: str) -> None:
    assert formats.measure(value, unit) == text


def test_json_is_laid_out_and_other_text_is_left_alone() -> None:
    assert formats.pretty('{"a": [1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert formats.pretty("12") == "12"
    assert formats.pretty("no {json}") == "no {json}"
    assert formats.pretty({"at": NOW, "took": timedelta(seconds=1)}) == (
        '{\n  "at": "2026-11-23T14:32:00+00:00",\n  "took": "0:00:01"\n}'
    )


def test_brief_values_fit_on_a_line() -> None:
    assert formats.brief({"a": 1}) == '{"a": 1}'
    assert len(formats.brief("x" * 1000)) == 300


@pytest.mark.parametrize(("count", "text"), [(999, "999 B"), (135_000_000, "135 MB"), (2_500_000_000_000, "2.5 TB")])
def test_sizes_are_in_powers_of_a_thousand(count: float, text: str) -> None:
    assert formats.size(count) == text


def test_an_audit_entry_tells_its_reason_first_and_leaves_ids_and_empty_values_out() -> None:
    detail = {"name": "v2", "look": {"id": "look_1", "rollout_id": "r", "number": 3, "reason": "Goes on.", "n": None}}
    assert formats.told(detail) == "Goes on., name v2, number 3"
    assert formats.told({}) == ""


def test_a_p_value_is_named() -> None:
    assert formats.measure(0.0123, "p") == "p 0.0123"
