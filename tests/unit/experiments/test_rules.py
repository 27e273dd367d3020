"""Rules of runs."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Conflict, Invalid
from rondel.experiments import rules
from rondel.experiments.models import Code, Run, RunKind, RunState

RUN = Run(
    id="run_1",
    kind=RunKind.TRAINING,
    name="support",
    experiment="",
    state=RunState.RUNNING,
    settings={"rank": 16},
    code=Code("0.1.0", "c0ffee"),
    data_version="support@1",
    seed=0,
    lock_sha256="aa",
    parent_id=None,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    started_by="per_ada",
    metrics={"loss": 0.5},
)


@pytest.mark.parametrize("state", list(RunState))
def test_a_run_ends_once(state: RunState) -> None:
    for to in RunState:
        if state is RunState.RUNNING and to is not RunState.RUNNING:
            rules.check_move(replace(RUN, state=state), to)
        else:
            with pytest.raises(Conflict):
                rules.check_move(replace(RUN, state=state), to)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_measurements(value: float) -> None:
    with pytest.raises(Invalid, match="'loss' is"):
        rules.check_metrics({"loss": value}, 1)


@given(st.lists(st.text("abc=.-", min_size=1)))
def test_an_environment_is_named_by_its_content_not_its_order(lines: list[str]) -> None:
    assert rules.lock_text(lines) == rules.lock_text([*reversed(lines), *lines])


def test_equal_runs_differ_by_chance_only() -> None:
    found = rules.compare([RUN, replace(RUN, id="run_2", metrics={"loss": 0.4})])
    assert found.differences == ()
    assert found.metrics == {"loss": (0.5, 0.4)}
    assert "chance" in found.sentence


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"data_version": "support@2"}, "data"),
        ({"settings": {"rank": 8}}, "settings.rank"),
        ({"settings": {"rank": 16, "alpha": 4}}, "settings.alpha"),
        ({"code": Code("0.1.0", "c0ffee", "dd")}, "code.diff"),
        ({"lock_sha256": "bb"}, "environment"),
    ],
)
def test_whatever_could_explain_a_result_is_compared(change: dict[str, object], name: str) -> None:
    other = replace(RUN, id="run_2", **change)  # pyright: ignore[reportArgumentType]  one field at a time
    found = rules.compare([RUN, other])
    assert [difference.name for difference in found.differences] == [name]
    assert name in found.sentence


def test_a_comparison_needs_two() -> None:
    with pytest.raises(Invalid, match="at least two"):
        rules.compare([RUN])


def test_settings_are_json() -> None:
    with pytest.raises(Invalid, match="must be JSON"):
        rules.check_start("a", {"a": object()})
    with pytest.raises(Invalid, match="needs a name"):
        rules.check_start("", {})
