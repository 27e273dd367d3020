"""How the gateway is doing: what its workers leave on the board, beside what is stored of the calls. All pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rondel.gateway.exposition import Figures, Number
from rondel.storage.models import Scope

RESTING = "rondel_gateway_target_resting"
CACHE = "rondel_gateway_cache_total"
WORKER = "gateway-"
OUTCOMES = {
    "hit": "hits",
    "semantic": "hits by meaning",
    "joined": "joined a call under way",
    "miss": "misses",
    "agreed": "hits checked: agreed",
    "differed": "hits checked: differed",
}
"""How a look-up in the cache ended, as `GatewayRecord.cache` tells it, and its word."""
SPARED = ("hit", "semantic", "joined")
"""What needed no new call: a hit that is checked asks the model all the same."""


class Calls(NamedTuple):
    """Calls of a while as they are stored; shares in [0, 1], times in ms, None where there is none to tell.

    `first` is the time to the first token, or to the first byte of an answer that was not streamed.
    """

    calls: int = 0
    error_share: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    first_p50_ms: float | None = None
    first_p95_ms: float | None = None
    per_s: float = 0.0


NONE = Calls()
MEASURES = ("count", "error_rate", "p50_ms", "p95_ms", "ttft_p50_ms", "ttft_p95_ms")
"""What `calls_of` reads."""


def calls_of(figures: Mapping[str, float | None], per_s: float) -> Calls:
    """From the measures of stored calls."""
    return Calls(
        calls=int(figures.get("count") or 0),
        error_share=figures.get("error_rate"),
        p50_ms=figures.get("p50_ms"),
        p95_ms=figures.get("p95_ms"),
        first_p50_ms=figures.get("ttft_p50_ms"),
        first_p95_ms=figures.get("ttft_p95_ms"),
        per_s=per_s,
    )


class Looked(NamedTuple):
    """Look-ups in the cache by outcome, in words, and the share that needed no new call."""

    outcomes: tuple[tuple[str, int], ...]
    share: float


def looked(outcomes: Mapping[str, float]) -> Looked | None:
    """From counts by outcome; requests that asked no cache have an empty one. None when there was no look-up."""
    counts = {name: int(count) for name, count in outcomes.items() if name and count}
    if not counts:
        return None
    told = sorted(counts, key=lambda name: ([*OUTCOMES, name].index(name), name))
    spared = sum(counts.get(name, 0) for name in SPARED)
    return Looked(tuple((OUTCOMES.get(name, name), counts[name]) for name in told), spared / sum(counts.values()))


@dataclass(frozen=True, slots=True)
class Board:
    """What the workers of this machine say of themselves now."""

    workers: tuple[str, ...]
    requests_open: int
    snapshots: tuple[int, ...]
    is_draining: bool
    resting: Mapping[tuple[str, str], int]
    """Workers that do not ask a (connection's name, model) after failures."""
    asked: Mapping[tuple[str, str], int]
    """Workers that know a (connection's name, model)."""
    unusable: Mapping[str, str]
    """Connections, by id, that a worker cannot use, and why."""
    cache: Looked | None
    """Since the workers started; None while none of them has looked into a cache here."""


def read_board(scope: Scope, figures: Sequence[Figures]) -> Board:
    """What concerns one project and environment in the figures of all processes."""
    workers = [one for one in figures if one.process.startswith(WORKER)]
    numbers = [number for worker in workers for number in worker.numbers]
    resting: dict[tuple[str, str], int] = {}
    asked: dict[tuple[str, str], int] = {}
    for number in numbers:
        labels = dict(number.labels)
        if number.family != RESTING or (labels.get("project"), labels.get("environment")) != tuple(_pair(scope)):
            continue
        target = (labels.get("connection", ""), labels.get("gen_ai_request_model", ""))
        asked[target] = asked.get(target, 0) + 1
        resting[target] = resting.get(target, 0) + int(number.value > 0)
    return Board(
        workers=tuple(worker.process for worker in workers),
        requests_open=int(_sum(numbers, "rondel_gateway_requests_open")),
        snapshots=tuple(sorted({int(n.value) for n in numbers if n.family == "rondel_gateway_snapshot_version"})),
        is_draining=_sum(numbers, "rondel_gateway_draining") > 0,
        resting=resting,
        asked=asked,
        unusable=dict(pair for worker in workers for pair in worker.unusable),
        cache=_cache(scope, numbers),
    )


def _cache(scope: Scope, numbers: Iterable[Number]) -> Looked | None:
    outcomes: dict[str, float] = {}
    for number in numbers:
        labels = dict(number.labels)
        if number.family != CACHE or (labels.get("project"), labels.get("environment")) != tuple(_pair(scope)):
            continue
        outcome = labels.get("outcome", "")
        outcomes[outcome] = outcomes.get(outcome, 0) + number.value
    return looked(outcomes)


def _sum(numbers: Iterable[Number], family: str) -> float:
    return sum(number.value for number in numbers if number.family == family)


def _pair(scope: Scope) -> tuple[str, str]:
    return scope.project_id, scope.environment
