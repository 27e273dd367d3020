"""Spans priced again: what was not known when they were stored, or was known wrongly, is computed anew.

The first computed cost stays beside the new one. Only what has tokens that the server told is priced; guessed ones stay
without a cost. The reported cost of a provider is never touched, and goes on being the one that is shown.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from rondel.spend.models import Counts, ModelPrice
from rondel.spend.ports import PriceBook
from rondel.spend.rules import MILLION, in_tier, served_as
from rondel.storage.models import Scope
from rondel.storage.ports import Columns
from rondel.telemetry.conditions import Ask
from rondel.telemetry.tables import SPANS

UNPRICED = "unpriced"
"""What `price_version_before` says of a span that had no computed cost before."""

_TOKENS = Counts._fields[:-1]  # the last one counts searches
_COLUMN = {"output_text": "output_text_tokens"}
_HOUR = timedelta(hours=1)
_TOLD = "has_tokens AND NOT JSONExtractBool(attributes, 'tokens.estimated')"
_MODEL = "if(model != '', toString(model), toString(model_requested))"


class Hours(NamedTuple):
    """A stretch of time in which one price held: from the beginning of its first hour up to its end."""

    first: datetime
    end: datetime


class Repriced(NamedTuple):
    """How many spans have a new cost, and of which models no price is known."""

    spans: int
    unknown: tuple[str, ...]


class _Used(NamedTuple):
    provider: str
    model: str
    service: str


class Repricing:
    """Questions and changes in ClickHouse's SQL about one scope's costs."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def reprice(self, scope: Scope, book: PriceBook, since: datetime, model: str = "") -> Repriced:
        """Price every span since then by the book of its hour; of one `model` or of all.

        A span whose cost is right keeps its price's version.
        """
        changed = 0
        unknown: set[str] = set()
        for used, hours in self._used(scope, since, model).items():
            by_price: dict[ModelPrice, list[datetime]] = defaultdict(list)
            for hour in hours:
                price = book.find(used.provider, used.model, hour)
                served = None if price is None else served_as(price, used.service)
                if price is None or served is None:
                    unknown.add(f"{used.provider}/{used.model}{f' ({used.service})' if used.service else ''}")
                else:
                    by_price[served].append(hour)
            for price, held in by_price.items():
                changed += self._apply(scope, used, price, list(_stretches(held)), since)
        return Repriced(changed, tuple(sorted(unknown)))

    def _used(self, scope: Scope, since: datetime, model: str) -> dict[_Used, list[datetime]]:
        """Which models answered in which hours."""
        ask = Ask(scope)
        where = f"{ask.ours()} AND {_TOLD} AND at >= {ask.moment(since)}"
        if model:
            where += f" AND {_MODEL} = {ask.p(model, 'String')}"
        sql = (
            f"SELECT toString(provider), {_MODEL}, toString(service_tier), toStartOfHour(at) AS hour FROM {SPANS} "
            f"WHERE {where} GROUP BY 1, 2, 3, hour ORDER BY 1, 2, 3, hour"
        )
        found: dict[_Used, list[datetime]] = defaultdict(list)
        rows = cast("list[tuple[str, str, str, datetime]]", self._columns.query(sql, ask.parameters).rows)
        for provider, name, service, hour in rows:
            found[_Used(provider, name, service)].append(hour)
        return found

    def _apply(self, scope: Scope, used: _Used, price: ModelPrice, stretches: Sequence[Hours], since: datetime) -> int:
        ask = Ask(scope)
        cost = cost_sql(price)
        at = " OR ".join(f"(at >= {ask.moment(one.first)} AND at < {ask.moment(one.end)})" for one in stretches)
        where = (
            f"{ask.ours()} AND {_TOLD} AND at >= {ask.moment(since)} AND ({at}) "
            f"AND provider = {ask.p(used.provider, 'String')} AND {_MODEL} = {ask.p(used.model, 'String')} "
            f"AND service_tier = {ask.p(used.service, 'String')} "
            f"AND ifNull(cost_computed != {cost}, isNull(cost_computed) != isNull({cost})) AND isNotNull({cost})"
        )
        count = cast(
            "int", self._columns.query(f"SELECT count() FROM {SPANS} WHERE {where}", ask.parameters).rows[0][0]
        )
        if count:
            version = ask.p(price.version, "String")
            self._columns.command(
                f"ALTER TABLE {SPANS} UPDATE "
                "cost_before = if(price_version_before = '', cost_computed, cost_before), "
                "price_version_before = multiIf(price_version_before != '', toString(price_version_before), "
                f"price_version = '', '{UNPRICED}', toString(price_version)), "
                f"cost_computed = {cost}, price_version = {version} WHERE {where}",
                ask.parameters,
            )
        return count


def cost_sql(price: ModelPrice) -> str:
    """The cost of a span's tokens as an expression: what `spend.rules.cost_nano` computes; NULL where it is unknown.

    All that stands in it are integers and names of columns.
    """
    borders = sorted({above for above, _ in price.tiers}, reverse=True)
    given = " + ".join(_column(name) for name in Counts.of_input())
    branches = "".join(f"{given} > {above:d}, {_rate_sql(in_tier(price, above + 1))}, " for above in borders)
    cost = f"multiIf({branches}{_rate_sql(in_tier(price, 0))})" if branches else _rate_sql(price)
    if price.search_nano is None:
        return f"if(web_searches > 0, NULL, {cost})"
    return f"CAST({cost} AS Nullable(Int64))"


def _rate_sql(price: ModelPrice) -> str:
    """Whole and broken nano-USD a token are summed apart: so 64 bits hold every sum."""
    priced = [(_column(name), divmod(rate, MILLION)) for name, rate in zip(_TOKENS, price.rates, strict=True)]
    whole = "".join(f" + toInt64({column}) * {nano:d}" for column, (nano, _) in priced if nano)
    broken = "".join(f" + toInt64({column}) * {rest:d}" for column, (_, rest) in priced if rest)
    fees = f"toInt64({price.request_nano or 0:d}) + toInt64(web_searches) * {price.search_nano or 0:d}"
    return f"{fees}{whole} + intDiv(toInt64({MILLION // 2:d}){broken}, {MILLION:d})"


def _column(name: str) -> str:
    return _COLUMN.get(name, name)


def _stretches(hours: Sequence[datetime]) -> Iterator[Hours]:
    """Hours that follow each other, together."""
    first = end = hours[0]
    for hour in hours:
        if hour > end:
            yield Hours(first, end)
            first = hour
        end = hour + _HOUR
    yield Hours(first, end)
