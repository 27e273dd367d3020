"""The cost of a call from what it used and a price, in integers all the way."""

from collections.abc import Mapping
from dataclasses import replace
from operator import mul

from rondel.money import nano
from rondel.spend.models import Counts, ModelPrice

MILLION = 1_000_000
LARGEST_USD = 1e6
"""No single request costs as much: what is reported above it is nonsense."""
TICKS_A_USD = 10_000_000_000
"""How xAI tells costs: https://docs.x.ai/docs/api-reference (cost_in_usd_ticks)."""

_ORDINARY = frozenset({"", "auto", "default", "standard", "on_demand", "on-demand"})
"""What providers call the service that list prices are for."""
_SAME = {"fast": "priority"}
"""OpenAI tells `priority` for both: https://developers.openai.com/api/docs/guides/fast-mode."""


def cost_nano(price: ModelPrice, counts: Counts, service: str = "") -> int | None:
    """Nano-USD, rounded half up at the very end; None when the service or a search has no known price.

    A bucket without a price of its own costs what the next more general one costs: cached pictures and sounds what
    other cached tokens cost, these what plain input costs; reasoning, sounds and pictures made what plain output costs.
    """
    at = served_as(price, service)
    if at is None or (counts.web_searches and at.search_nano is None):
        return None
    if at.tiers:
        at = in_tier(at, counts.input)
    millionths = sum(map(mul, counts, at.rates))
    fees = (at.request_nano or 0) + counts.web_searches * (at.search_nano or 0)
    return fees + (millionths + MILLION // 2) // MILLION


def served_as(price: ModelPrice, service: str) -> ModelPrice | None:
    """The prices of one way to be served; None when they are not known, since it costs more or less than the list."""
    if service in _ORDINARY:
        return price
    known = dict(price.services)
    return known.get(service) or known.get(_SAME.get(service, ""))


def in_tier(price: ModelPrice, input_tokens: int) -> ModelPrice:
    """The prices that hold for a request of so many input tokens: the whole of it, never a part.

    Fees that a tier does not name are those of its price.
    """
    if not price.tiers:
        return price
    found = price
    for above, tier in sorted(price.tiers, key=lambda tier: tier[0]):
        if input_tokens > above:
            found = tier
    if found is price or (found.request_nano is not None and found.search_nano is not None):
        return found
    return replace(
        found,
        request_nano=_either(found.request_nano, price.request_nano),
        search_nano=_either(found.search_nano, price.search_nano),
    )


def dearest(price: ModelPrice, input_tokens: int, service: str = "") -> tuple[int, int, int]:
    """The most that one million tokens in, one million out, and the request itself can cost.

    Sounds and pictures are counted where the model has a price for them. `input_tokens` are the most that there can be.
    A service without a known price is taken for the dearest that is known.
    """
    named = served_as(price, service)
    if named is not None and not named.tiers:
        return named.most
    ways = [price, *(way for _, way in price.services)] if named is None else [named]
    every = [one for way in ways for one in (way, *(tier for above, tier in way.tiers if input_tokens > above))]
    given, made, fees = zip(*(one.most for one in every), strict=True)
    return max(given), max(made), max(fees)


def reported_nano(usage: Mapping[str, object]) -> int | None:
    """What the provider says that the request costs; None when it says nothing, or nonsense.

    `cost` is OpenRouter's (with a key of one's own at the model's maker, that one's charge comes on top), an object
    with `total_cost` is Perplexity's, `estimated_cost` DeepInfra's, and `cost_in_usd_ticks` xAI's.
    """
    told = usage.get("cost", usage.get("estimated_cost"))
    parts = _object(told)
    cost = parts.get("total_cost") if parts else told
    ticks = usage.get("cost_in_usd_ticks")
    if cost is None and isinstance(ticks, int) and not isinstance(ticks, bool):
        cost = ticks / TICKS_A_USD
    found = _usd(cost)
    upstream = _usd(_object(usage.get("cost_details")).get("upstream_inference_cost"))
    if found is not None and usage.get("is_byok") is True and upstream is not None:
        return found + upstream
    return found


def _usd(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LARGEST_USD:
        return None
    return nano(value)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]  JSON


def _either(price: int | None, instead: int | None) -> int | None:
    return instead if price is None else price
