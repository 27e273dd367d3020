"""In which order a lane's targets are asked, for a route that does not simply go by their order."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rondel.gateway.costing import Load, estimate, load_of
from rondel.gateway.dataplane.breaking import Breaker
from rondel.gateway.models import Head
from rondel.gateway.picking import by_load, by_pace, by_price, cost, race, unit_draws
from rondel.gateway.routing import Affinity, Policy
from rondel.spend.models import ModelPrice


class Choosable(Protocol):
    """A target that may be asked."""

    @property
    def breaker(self) -> Breaker:
        """Its health."""
        ...

    @property
    def price(self) -> ModelPrice | None:
        """What it costs."""
        ...


class Asking(Protocol):
    """What of a request a choice may go by."""

    head: Head
    body: bytes
    session: str
    user: str


class Drawing(Protocol):
    """Chance and time."""

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def now(self) -> float:
        """Monotonic seconds."""
        ...


class Order(NamedTuple):
    """Positions, the first to be asked first, and in a few words why."""

    positions: list[int]
    why: str


class Picker(NamedTuple):
    """How the first `len(names)` candidates of a lane are ordered; those behind them are fallbacks and stay there.

    Those without a weight stand behind the others in their order, whatever the policy.
    """

    policy: Policy
    affinity: Affinity
    salt: str
    names: tuple[str, ...]
    """What a target is called for affinity: the same in every worker and snapshot."""
    weights: tuple[float, ...]

    def order(self, candidates: Sequence[Choosable], asked: Asking, by: Drawing) -> Order:
        """For one request. Who rests is not looked at for weights and affinity: passing it over leaves the order of the
        others as it would be without it."""
        unit = asked.session if self.affinity is Affinity.SESSION else asked.user
        if unit and self.affinity is not Affinity.NONE:
            draws = unit_draws(self.salt, unit, self.names)
            is_weighted = self.policy is Policy.WEIGHTS
            weights = [weight if is_weighted else float(weight > 0) for weight in self.weights]
            return Order(race(draws, weights), f"affinity: {self.affinity.value}")
        active = [position for position, weight in enumerate(self.weights) if weight > 0]
        order = self._by_policy([candidates[position] for position in active], asked, by)
        standing_in = (position for position, weight in enumerate(self.weights) if weight <= 0)
        return Order([*(active[place] for place in order), *standing_in], self.policy.value)

    def _by_policy(self, own: Sequence[Choosable], asked: Asking, by: Drawing) -> list[int]:
        match self.policy:
            case Policy.ORDER:
                return list(range(len(own)))
            case Policy.WEIGHTS:
                return race([by.draw() for _ in own], [weight for weight in self.weights if weight > 0])
            case Policy.LEAST_BUSY:
                return by_load([one.breaker.open for one in own], [by.draw() for _ in own])
            case Policy.CHEAPEST:
                load = load_of(asked.body)
                return by_price([_nano(load, asked.head, one.price) for one in own])
            case Policy.FASTEST:
                return _by_pace(own, by)


def _by_pace(own: Sequence[Choosable], by: Drawing) -> list[int]:
    """The two are drawn among those that do not rest; the others stand behind them."""
    now = by.now()
    well = [position for position, one in enumerate(own) if one.breaker.wait_s(now) <= 0]
    costs = [cost(own[position].breaker.pace, own[position].breaker.open, now) for position in well]
    first = [well[place] for place in by_pace(costs, by.draw())]
    return first + [position for position in range(len(own)) if position not in well]


def _nano(load: Load, head: Head, price: ModelPrice | None) -> int | None:
    if price is None:
        return None
    return estimate(load, head.max_tokens, price, choices=head.choices, service=head.service_tier).nano
