"""What Loop says of changes: those under way, and those that arrived or were stopped within a week."""

from datetime import timedelta

import pytest

from rondel.releases.models import Release, Stage
from rondel.telemetry.models import Summary
from rondel.web.loop import STATION, STATIONS, Facts, changes, ended
from tests.integration.web import samples


def facts(*releases: Release) -> Facts:
    """Nothing but these releases."""
    nothing = samples.changed(samples.SUMMARY, count=0)
    summaries: tuple[Summary, Summary, Summary] = (nothing, nothing, nothing)
    return Facts(samples.NOW, releases, (), (), (), (), *summaries, ())


@pytest.mark.parametrize("stage", list(Stage))
def test_a_release_is_under_way_or_has_ended_and_never_both(stage: Stage) -> None:
    release = samples.changed(samples.release_facts().release, stage=stage, moved_at=samples.NOW)
    told = facts(release)
    assert bool(changes(told)) == (stage in STATION)
    assert bool(ended(told)) == (stage in {Stage.LIVE, Stage.REFUSED, Stage.ROLLED_BACK})
    for course in (*changes(told), *ended(told)):
        assert course.is_failing == (stage in {Stage.REFUSED, Stage.ROLLED_BACK})
        assert (course.stage == STATIONS) == (stage is Stage.LIVE)


def test_what_ended_long_ago_is_no_longer_told() -> None:
    release = samples.changed(
        samples.release_facts().release, stage=Stage.LIVE, moved_at=samples.NOW - timedelta(days=8)
    )
    assert ended(facts(release)) == []
