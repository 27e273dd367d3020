"""Ids, money, time, errors, events: the words everything else stands on."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel import errors
from rondel.clock import FixedClock, from_ns, to_ns
from rondel.errors import Invalid, RondelError, did_you_mean
from rondel.events import Event, Listeners
from rondel.ids import SMALL, Ids, chance, ulid
from rondel.money import NANO, exact, nano, nano_of, usd


class Told(Event, frozen=True, kw_only=True):
    """An event of this test."""

    what: int


def test_ids_sort_by_the_time_they_were_made() -> None:
    clock = FixedClock()
    ids = Ids(clock)
    made: list[str] = []
    for _ in range(20):
        made.append(ids.new("rel"))
        clock.advance(0.001)
    assert made == sorted(made)
    assert all(id_.startswith("rel_") and len(id_) == 30 for id_ in made)


def test_a_ulid_is_its_time_and_its_chance() -> None:
    assert ulid(0, bytes(10)) == "0" * 26
    assert ulid((1 << 48) - 1, b"\xff" * 10) == "7" + "Z" * 25


def test_no_two_threads_are_given_the_same_chance() -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(chance, [SMALL] * 20_000))
    assert len(set(taken)) == len(taken)
    assert [len(chance(size)) for size in (1, 8, SMALL, 24)] == [1, 8, SMALL, 24]


FORKED = """
import os, sys
from rondel.ids import SMALL, chance
chance(SMALL)
child = os.fork()
told = sorted(chance(SMALL).hex() for _ in range(100))
if child:
    os.waitpid(child, 0)
os.write(1, ("\\n".join(told) + "\\n").encode())
"""


def test_a_forked_process_is_given_chance_of_its_own() -> None:
    told = subprocess.run([sys.executable, "-c", FORKED], check=True, capture_output=True, text=True).stdout.split()
    assert len(told) == len(set(told)) == 200


def test_trace_ids_are_as_w3c_wants_them() -> None:
    ids = Ids(FixedClock(), entropy=lambda size: b"\xab" * size)
    assert ids.trace_id() == "ab" * 16
    assert ids.span_id() == "ab" * 8


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "–"),
        (0, "$0"),
        (NANO, "$1.00"),
        (1_234_567 * NANO, "$1,234,567.00"),
        (420_000, "$0.00042"),
        (15_000_000, "$0.02"),
        (-420_000, "-$0.00042"),
        (1, "$0.0000000010"),
    ],
)
def test_money_is_shown_with_the_digits_that_matter(amount: int | None, shown: str) -> None:
    assert usd(amount) == shown


def test_an_amount_that_is_written_is_read_or_refused_in_words() -> None:
    assert (nano_of("2.50"), nano_of("$25"), nano_of("0")) == (2_500_000_000, 25_000_000_000, 0)
    for wrong in ("abc", "", "NaN", "inf", "1,000"):
        with pytest.raises(Invalid, match="is no amount of dollars"):
            nano_of(wrong)
    with pytest.raises(Invalid, match="is below nothing"):
        nano_of("-1")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "$0"), (25_000_000, "$0.025"), (2_500_000_000, "$2.50"), (1_234_000_000_001, "$1,234.000000001")],
)
def test_a_price_is_shown_to_its_last_digit(amount: int, shown: str) -> None:
    assert exact(amount) == shown


@given(st.integers(0, 10**6))
def test_dollars_become_nano_dollars_exactly(cents: int) -> None:
    assert nano(f"{cents / 100:.2f}") == cents * NANO // 100


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)))  # noqa: DTZ001  hypothesis wants naive bounds
def test_nanoseconds_and_moments_are_each_other(moment: datetime) -> None:
    assert from_ns(to_ns(moment)) == moment


def test_a_fixed_clock_goes_on_only_when_told() -> None:
    clock = FixedClock()
    before = clock.now()
    clock.sleep(1.5)
    assert clock.now() - before == timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5


def test_every_error_has_a_status_a_code_and_an_exit_code() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RondelError)]
    assert len(found) > 10
    for kind in found:
        error = kind("what, where, what instead")
        assert 400 <= kind.status < 600
        assert kind.code
        assert 1 <= kind.exit_code <= 6
        assert str(error) == "what, where, what instead"


def test_a_near_name_is_offered_and_else_all_of_them() -> None:
    assert did_you_mean("opnai", ["openai", "groq"]) == "Did you mean 'openai'?"
    assert did_you_mean("zzz", ["openai", "groq"]) == "Known: groq, openai."
    assert did_you_mean("zzz", []) == "There is none yet."


def test_only_listeners_of_an_event_hear_it() -> None:
    heard: list[Told] = []
    listeners = Listeners()
    listeners.on(Told, heard.append)
    assert listeners.deliver("Told", b'{"project_id":"p","environment":"e","what":3}') == 1
    assert listeners.deliver("SomethingElse", b"{}") == 0
    assert heard == [Told(project_id="p", environment="e", what=3)]
