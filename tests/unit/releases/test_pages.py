"""The stage line, the limits and the sequence say what was stored, as it happened."""

import pytest

from rondel.identity.models import Role as Right
from rondel.releases.changes import changes, parts
from rondel.releases.models import Choice, RolloutState, Stage
from rondel.releases.pages import Mark, ReleaseFacts, release_page
from tests.integration.web import samples


def test_the_safe_mark_is_the_first_look_at_which_the_limit_held() -> None:
    facts = samples.release_facts()
    view = release_page(facts, now=samples.NOW).sequence
    assert view is not None
    first = next(look for look in facts.looks if look.low > -0.02)
    assert view.safe_at == first.n_canary


def test_a_later_dip_does_not_move_the_safe_mark() -> None:
    facts = samples.release_facts()
    dipped = [*facts.looks[:-1], samples.changed(facts.looks[-1], low=-0.5)]
    view = release_page(samples.changed(facts, looks=dipped), now=samples.NOW).sequence
    before = release_page(facts, now=samples.NOW).sequence
    assert view is not None
    assert before is not None
    assert view.safe_at == before.safe_at


def test_the_look_that_rolled_back_is_marked() -> None:
    facts = samples.release_facts()
    looks = [*facts.looks[:-1], samples.changed(facts.looks[-1], choice=Choice.ROLL_BACK)]
    view = release_page(samples.changed(facts, looks=looks), now=samples.NOW).sequence
    assert view is not None
    assert view.stopped_at == looks[-1].n_canary


def test_the_stage_line_has_every_step_of_the_ladder_once() -> None:
    steps = release_page(samples.release_facts(), now=samples.NOW).steps
    assert [step.title for step in steps] == ["Gate", "Approval", "Shadow", "5 %", "20 %", "50 %", "100 %"]
    assert [step.mark for step in steps] == [*[Mark.DONE] * 4, Mark.NOW, Mark.NEXT, Mark.NEXT]


def test_a_held_rollout_says_that_a_person_decides_and_offers_to_go_on() -> None:
    view = release_page(samples.release_facts(state=RolloutState.HELD), now=samples.NOW)
    assert Mark.HELD in {step.mark for step in view.steps}
    assert "until a person decides" in view.untouched
    assert "Go on" in {action.title for action in view.actions}


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_a_page_and_nothing_live_is_offered_for_approval(stage: Stage) -> None:
    facts = samples.release_facts()
    bare = ReleaseFacts(samples.changed(facts.release, stage=stage))
    view = release_page(bare, now=samples.NOW)
    titles = {action.title for action in view.actions}
    assert ("Approve" in titles) == (stage is Stage.APPROVAL)
    assert not titles & {"Start canary", "Start shadow", "Promote"}
    assert ("Roll back" in titles) == (stage is Stage.LIVE)
    assert view.untouched


def test_only_what_differs_is_listed_as_changed() -> None:
    facts = samples.release_facts()
    assert facts.baseline is not None
    assert [change.title for change in changes(facts.baseline, facts.release)] == ["Adapter", "Prompt"]
    assert changes(facts.release, facts.release) == ()
    prompt = changes(facts.baseline, facts.release)[1]
    assert any(sign == "+" and "Be brief" in text for sign, text in prompt.lines)


def test_a_needed_number_is_not_said_once_it_is_reached() -> None:
    facts = samples.release_facts()
    assert facts.rollout is not None
    plan = samples.changed(facts.rollout.plan, step_n=100)
    rollout = samples.changed(facts.rollout, plan=plan)
    said = release_page(samples.changed(facts, rollout=rollout), now=samples.NOW).steps[4].what
    assert " of " not in said
    assert said.endswith(" answers")


def test_what_was_still_watched_when_a_rollout_ended_stays_open() -> None:
    facts = samples.release_facts()
    assert facts.rollout is not None
    ended = samples.changed(facts, rollout=samples.changed(facts.rollout, ended_at=samples.NOW))
    assert "Watch" in {line.word for line in release_page(facts, now=samples.NOW).measures}
    words = {line.word for line in release_page(ended, now=samples.NOW).measures}
    assert "Watch" not in words
    assert "Open" in words


def test_an_overridden_gate_says_who_and_why() -> None:
    facts = samples.release_facts()
    gate = samples.changed(facts.release.gate, passed=False, overridden="Planted.")
    view = release_page(samples.changed(facts, release=samples.changed(facts.release, gate=gate)), now=samples.NOW)
    assert view.overridden == f"Overridden by {facts.moves[0].actor}: Planted."
    assert release_page(facts, now=samples.NOW).overridden == ""


def test_buttons_that_would_refuse_the_reader_are_not_shown() -> None:
    facts = samples.release_facts()

    def titles(right: Right) -> set[str]:
        return {action.title for action in release_page(facts, now=samples.NOW, right=right).actions}

    assert titles(Right.VIEWER) == {"Evidence"}
    assert titles(Right.DEVELOPER) == {"Evidence", "Hold", "Roll back"}
    assert titles(Right.APPROVER) == {"Evidence", "Hold", "Roll back", "Promote"}


def test_an_approved_release_is_started_and_the_first_of_a_route_goes_live() -> None:
    facts = samples.release_facts()
    waiting = samples.changed(facts, release=samples.changed(facts.release, stage=Stage.APPROVAL), rollout=None)
    first = samples.changed(waiting, baseline=None)
    assert [a.title for a in release_page(waiting, now=samples.NOW).actions][2:] == ["Start shadow", "Start canary"]
    assert [a.title for a in release_page(first, now=samples.NOW).actions][2:] == ["Promote"]


def test_a_part_says_its_own_name_only_when_it_is_another_than_its_kind() -> None:
    assert [part.what for part in parts(samples.release_facts().release)][:1] == ["model"]
