"""The order in which a lane's targets are asked, by its route's policy."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest

from rondel.gateway.dataplane.breaking import Breaker, blame
from rondel.gateway.dataplane.choosing import Picker
from rondel.gateway.models import Head
from rondel.gateway.picking import UNSEEN, paced
from rondel.gateway.routing import Affinity, Policy
from rondel.spend.models import ModelPrice

HEAD = Head("m", is_stream=False, max_tokens=10, user="", metadata={}, wants_usage=False)


@dataclass
class Choice:
    """A target."""

    price: ModelPrice | None = None
    breaker: Breaker = field(default_factory=Breaker)


@dataclass
class Request:
    """What a choice goes by."""

    session: str = ""
    user: str = ""
    body: bytes = b"{}"
    head: Head = HEAD


class Chance:
    """Seeded chance, and a moment."""

    def __init__(self, moment: float = 10.0) -> None:
        self._random, self.moment = Random(7), moment

    def draw(self) -> float:
        return self._random.random()

    def now(self) -> float:
        return self.moment


def _picker(policy: Policy, *weights: float, affinity: Affinity = Affinity.NONE) -> Picker:
    return Picker(policy, affinity, "salt", tuple(f"t{number}" for number in range(len(weights))), weights)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("affinity", Affinity)
def test_every_policy_orders_all_and_leaves_stand_ins_behind(policy: Policy, affinity: Affinity) -> None:
    chance, own = Chance(), [Choice() for _ in range(5)]
    picker = _picker(policy, 1.0, 0.0, 2.0, 0.0, affinity=affinity)
    for number in range(50):
        positions, _ = picker.order(own, Request(f"s{number}", f"u{number}"), chance)
        assert sorted(positions) == [0, 1, 2, 3], "the fifth is a fallback and not the policy's to order"
        assert positions[2:] == [1, 3]


def test_affinity_goes_before_the_policy_and_without_a_unit_the_policy_decides() -> None:
    chance, own = Chance(), [Choice(), Choice(), Choice()]
    picker = _picker(Policy.LEAST_BUSY, 1.0, 1.0, 1.0, affinity=Affinity.SESSION)
    home = picker.order(own, Request("s"), chance)
    own[home.positions[0]].breaker.begin()
    assert picker.order(own, Request("s", "whoever"), chance) == home
    assert home.why == "affinity: session"
    other = picker.order(own, Request("", "whoever"), chance)
    assert other.why == "least_busy"
    assert other.positions[-1] == home.positions[0]


def test_the_fastest_of_the_well_comes_before_who_rests() -> None:
    chance, own = Chance(), [Choice(), Choice(), Choice()]
    for one, took in zip(own, (0.1, 0.5, 0.9), strict=True):
        one.breaker.pace = paced(UNSEEN, took, 9.0)
    picker = _picker(Policy.FASTEST, 1.0, 1.0, 1.0)
    firsts = Counter(picker.order(own, Request(), chance).positions[0] for _ in range(300))
    assert firsts[0] > firsts[1] > firsts[2] == 0
    for _ in range(5):
        own[0].breaker.begin()
        blame(own[0].breaker, 500, None, 10.0, is_paced=True)
    assert picker.order(own, Request(), chance).positions == [1, 2, 0]


def test_a_provider_that_asked_to_be_left_alone_has_not_failed() -> None:
    breaker = Breaker()
    breaker.begin()
    blame(breaker, 429, 3.0, 10.0, is_paced=False)
    assert (breaker.open, breaker.wait_s(10.0), breaker.is_ejected) == (0, 3.0, False)
    for _ in range(5):
        breaker.begin()
        blame(breaker, 0, None, 14.0, is_paced=False)
    assert (breaker.open, breaker.is_ejected) == (0, True)
    assert breaker.wait_s(14.0) == 1.0


def test_the_callers_mistake_says_nothing_against_a_target() -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker.begin()
        blame(breaker, 400, None, 1.0, is_paced=False)
    assert (breaker.open, breaker.wait_s(1.0)) == (0, 0.0)
