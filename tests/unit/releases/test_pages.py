"""The stage line, the limits and the sequence say what was stored, as it happened."""

import pytest

from rondel.releases.models import Choice, RolloutState, Stage
from rondel.releases.pages import Mark, ReleaseFacts, changes, release_page
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
    assert ("Roll back" in titles) == (stage is Stage.LIVE)
    assert view.untouched


def test_only_what_differs_is_listed_as_changed() -> None:
    facts = samples.release_facts()
    assert facts.baseline is not None
    assert [change.title for change in changes(facts.baseline, facts.release)] == ["Adapter", "Prompt"]
    assert changes(facts.release, facts.release) == ()
    prompt = changes(facts.baseline, facts.release)[1]
    assert any(sign == "+" and "Be brief" in text for sign, text in prompt.lines)
