"""What the reconciler does next, for every situation it can meet."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Conflict, Invalid
from rondel.serving import rules
from rondel.serving.models import (
    MOVES,
    AdapterRef,
    Deployment,
    DeploymentState,
    EngineSettings,
    Wanted,
)
from rondel.serving.rules import Process, Step, judge

WANTED = Deployment(
    id="dep_1",
    name="smollm2",
    engine="llamacpp",
    model_id="mv_1",
    model_ref="smollm2@1",
    adapters=(),
    settings=EngineSettings(),
    wanted=Wanted.RUNNING,
    generation=2,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
STOPPED = replace(WANTED, wanted=Wanted.STOPPED)
WELL = Process(generation=2, is_alive=True, is_healthy=True, age_s=60, answered_s=59)
OLD = replace(WELL, generation=1)
COMING = Process(generation=2, is_alive=True, is_healthy=False, age_s=1)


def test_what_is_wanted_and_does_not_run_is_started() -> None:
    assert judge(WANTED, None, None).step is Step.START


def test_what_answers_as_wanted_is_left_alone() -> None:
    assert judge(WANTED, WELL, None).step is Step.NOTHING


def test_what_is_not_wanted_is_stopped_whatever_runs() -> None:
    for serving, coming in ((WELL, None), (None, COMING), (OLD, COMING)):
        assert judge(STOPPED, serving, coming).step is Step.STOP
    assert judge(STOPPED, None, None).step is Step.NOTHING


def test_a_change_starts_a_successor_beside_the_process_that_answers() -> None:
    assert judge(WANTED, OLD, None).step is Step.START
    assert judge(WANTED, OLD, COMING).step is Step.NOTHING
    assert judge(WANTED, OLD, replace(COMING, is_healthy=True)).step is Step.SUCCEED


def test_a_successor_of_a_wish_that_changed_again_is_given_up() -> None:
    assert judge(WANTED, OLD, replace(COMING, generation=1)).step is Step.GIVE_UP_START


def test_a_start_that_ends_or_takes_too_long_is_given_up() -> None:
    assert judge(WANTED, None, replace(COMING, is_alive=False)).step is Step.GIVE_UP_START
    assert judge(WANTED, None, replace(COMING, age_s=rules.START_TIMEOUT_S + 1)).step is Step.GIVE_UP_START


def test_a_process_that_ended_or_went_silent_is_replaced() -> None:
    assert judge(WANTED, replace(WELL, is_alive=False, is_healthy=False), None).step is Step.REPLACE
    assert judge(WANTED, replace(WELL, missed_checks=rules.MISSED_CHECKS), None).step is Step.REPLACE
    assert judge(WANTED, replace(WELL, missed_checks=rules.MISSED_CHECKS - 1), None).step is Step.NOTHING


def test_a_failed_start_waits_and_says_how_long() -> None:
    waiting = judge(WANTED, None, None, failures=3, since_failure_s=1.9)
    assert waiting.step is Step.NOTHING
    assert waiting.reason == "Waits 2 s after 3 failed starts in a row."
    assert judge(WANTED, None, None, failures=3, since_failure_s=2.0).step is Step.START


def test_a_failing_change_leaves_the_old_process_serving() -> None:
    assert judge(WANTED, OLD, None, failures=4, since_failure_s=0.0).step is Step.NOTHING


@given(st.integers(0, 10_000))
def test_waits_grow_and_are_bounded(failures: int) -> None:
    wait = rules.back_off_s(failures)
    assert 0 <= wait <= rules.back_off_s(failures + 1) <= rules.LONGEST_WAIT_S
    assert (wait == 0) == (failures == 0)


PROCESSES = st.builds(
    Process,
    generation=st.integers(1, 3),
    is_alive=st.booleans(),
    is_healthy=st.booleans(),
    age_s=st.floats(0, 300),
    answered_s=st.none() | st.floats(0, 300),
    missed_checks=st.integers(0, 9),
)


@given(
    st.sampled_from([WANTED, STOPPED]),
    st.none() | PROCESSES,
    st.none() | PROCESSES,
    st.integers(0, 20),
    st.floats(0, 100),
)
def test_every_situation_has_one_step_with_a_reason_that_can_be_taken(
    deployment: Deployment, serving: Process | None, coming: Process | None, failures: int, since: float
) -> None:
    verdict = judge(deployment, serving, coming, failures=failures, since_failure_s=since)
    assert verdict.reason.endswith(".")
    needs = {Step.SUCCEED: coming, Step.GIVE_UP_START: coming, Step.REPLACE: serving, Step.STOP: serving or coming}
    assert needs.get(verdict.step, True)
    if verdict.step is Step.START:
        assert coming is None
        assert deployment.wanted is Wanted.RUNNING


def test_states_follow_the_table() -> None:
    for before in DeploymentState:
        for after in DeploymentState:
            if before is after or after in MOVES[before]:
                rules.check_move(before, after)
            else:
                with pytest.raises(Conflict, match=after.value):
                    rules.check_move(before, after)


@pytest.mark.parametrize("name", ["", "Smol", "a b", "../x", "-x", "x" * 64, "é"])
def test_names_that_requests_could_not_use_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="deployment name"):
        rules.check_name(name)


@pytest.mark.parametrize(
    "settings",
    [EngineSettings(slots=0), EngineSettings(context_tokens=10), EngineSettings(threads=-1), EngineSettings(slots=999)],
)
def test_sizes_that_no_machine_has_are_refused(settings: EngineSettings) -> None:
    with pytest.raises(Invalid, match="from"):
        rules.check_settings(settings)


def test_adapters_have_names_of_their_own() -> None:
    with pytest.raises(Conflict, match="'support'"):
        rules.check_adapters([AdapterRef("support", "mv_1"), AdapterRef("support", "mv_2")])


def test_threads_leave_a_core_to_the_gateway_when_there_are_three() -> None:
    assert [rules.threads_for(0, cores) for cores in (1, 2, 3, 8)] == [1, 2, 2, 7]
    assert rules.threads_for(5, 2) == 5
