"""What `docs/benchmarks.md` says is what the kept results say; and how a median and its interval come about."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from benchmarks.gateway import page
from benchmarks.gateway.figures import GUARDED, JOBS, TABLES
from benchmarks.gateway.guard import is_slower, verdict
from benchmarks.gateway.load import Load
from benchmarks.gateway.measuring import Turn, least
from benchmarks.gateway.peers import PEERS
from benchmarks.gateway.results import Results, Told, read
from benchmarks.gateway.spread import coverage, rank, spread


def _kept() -> Results:
    kept = read("gateway")
    assert kept is not None, "benchmarks/results/gateway.json is missing: make bench-gateway"
    return kept


def test_the_page_says_what_the_results_say() -> None:
    text = page.PAGE.read_text()
    assert page.page(text) == text, "docs/benchmarks.md is not what the results say: python -m benchmarks.gateway.page"


def test_other_parts_of_the_page_stay_as_they_are() -> None:
    before = "# Benchmarks\n\n<!-- gateway: made by x -->\nold\n<!-- /gateway -->\n"
    before += "\n<!-- console: y -->\nz\n<!-- /console -->\n"
    after = page.put(before, "<!-- gateway: made by x -->\nnew\n<!-- /gateway -->", page.BEGIN, page.END)
    assert after == before.replace("old", "new")


def test_a_part_that_was_not_there_stands_behind_all() -> None:
    assert page.put("# Benchmarks\n", f"{page.BEGIN}\nnew\n{page.END}", page.BEGIN, page.END) == (
        f"# Benchmarks\n\n{page.BEGIN}\nnew\n{page.END}\n"
    )


def test_every_figure_has_results_and_says_rightly_whether_its_goal_is_met() -> None:
    kept = _kept()
    for table in TABLES:
        for figure in table.figures:
            each = kept.figures[figure.name]
            assert (each.unit, each.goal) == (figure.unit, figure.goal), figure.name
            assert each.low <= each.value <= each.high, figure.name
    for name, each in kept.figures.items():
        assert each.met is (None if each.goal is None else each.value <= each.goal), name


def test_every_figure_names_a_job_and_those_who_bear_it() -> None:
    jobs = {job.name: job for job in JOBS}
    names = [figure.name for table in TABLES for figure in table.figures]
    assert len(set(names)) == len(names)
    for table in TABLES:
        for figure in table.figures:
            assert {figure.contender, figure.against} <= set(jobs[figure.job].contenders), figure.name
    for name, pair in GUARDED.items():
        assert set(pair) <= set(jobs[name].contenders), name
        assert f"least_{name}" in _kept().figures


def _turns(*cpu_us: float) -> list[Turn]:
    return [Turn(each, Load(1, 1.0, 1.0, 1.0, 0)) for each in cpu_us]


def test_the_least_turns_are_compared_and_the_second_ones_tell_how_sure_that_is() -> None:
    found = least({"mock": _turns(60, 50, 55, 500), "nginx": _turns(10, 12.5, 90, 11)}, "mock", "nginx")
    assert found == (5.0, 50 / 11, 5.5)


KEPT = Told(value=4.0, unit="x nginx", goal=None, better="lower", met=None, low=3.8, high=4.4)


@pytest.mark.parametrize(
    ("now", "said", "slower"),
    [
        (3.0, "faster", False),
        (4.0, "kept 4.00", False),
        (5.49, "kept 4.00", False),
        (5.51, "more than 25% slower", True),
    ],
)
def test_speed_is_held_to_a_quarter_above_the_upper_end_of_what_is_kept(now: float, said: str, slower: bool) -> None:
    assert is_slower(now, KEPT) is slower
    assert said in verdict("small", now, KEPT)


@pytest.mark.parametrize(
    ("rounds", "each", "covered"),
    [(5, 1, 1 - 2 / 32), (6, 1, 1 - 2 / 64), (8, 1, 1 - 2 / 256), (9, 2, 1 - 2 * (1 + 9) / 512)],
)
def test_the_interval_is_the_narrowest_that_covers_95_percent(rounds: int, each: int, covered: float) -> None:
    """Nine rounds are the first of which one at each end may be left out."""
    assert rank(rounds) == each
    assert coverage(rounds, each) == covered


@pytest.mark.parametrize("values", [[3.0], [2.0, 1.0], [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 0.0, 7.0, 8.0]])
def test_a_median_lies_in_its_interval(values: Sequence[float]) -> None:
    found = spread(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)


def test_one_wild_round_of_nine_moves_neither_end_of_the_interval_out() -> None:
    assert spread([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 90.0]).high == 1.7


def test_a_row_shows_value_interval_and_goal() -> None:
    told = Told(
        value=2.5, unit="x nginx", goal=2.0, better="lower", met=False, low=2.25, high=2.75, cpu_us=25, against_us=10
    )
    memory = Told(value=50, unit="MB a worker", goal=60, better="lower", met=True)
    kept = Results(
        machine={"cores": 2, "processor": "p", "platform": "l", "python": "3"},
        versions={"rondel": "1"},
        rounds=7,
        coverage=0.984,
        figures={"cpu_default": told, "memory": memory},
    )
    text = page.section(kept)
    assert "| 2.50 x nginx | 2.25 to 2.75 | 25.0 | 10.0 | 2, not met |" in text
    assert "after the load without TLS: 50 MB (goal 60, met)" in text
    assert not [line for line, after in pairwise(text.splitlines()) if line == after == ""]


def test_a_gateway_that_could_not_be_installed_is_named_with_the_reason() -> None:
    each = Told(value=9.0, unit="x nginx", goal=None, better="lower", met=None, low=8.0, high=10.0, cpu_us=900)
    kept = Results(
        machine={"cores": 2, "processor": "p", "platform": "l", "python": "3"},
        versions={"rondel": "1", "nginx": "1.22", "LiteLLM": "1.106.2"},
        rounds=6,
        coverage=0.969,
        figures={
            f"{prefix}_{name}": each
            for prefix in ("requests", "pieces", "added_p50", "memory")
            for name in ("nginx", "mock", "LiteLLM")
        },
        absent={"Portkey": "it cannot be installed: npm is not installed"},
        configurations={"LiteLLM": "one worker"},
    )
    text = page.peers(kept)
    assert "| LiteLLM 1.106.2 | 9.0 (8.0 to 10.0) | 900 | 1,111 | 900.0 | 9.000 (8.000 to 10.000) | 9 |" in text
    assert "| Rondel 1 |" in text
    assert "- Portkey is not here: it cannot be installed: npm is not installed." in text


def test_what_is_pinned_is_what_is_installed() -> None:
    for peer in PEERS:
        written = " ".join(word for command in peer.install for word in command) + peer.config[1]
        assert peer.version in written, peer.name
