"""What orders to forget come to for routes and keys, and what workers say they keep. All pure."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rondel.gateway.exposition import Figures, Number
from rondel.gateway.purges.models import KeptOnRoute, Purge
from rondel.storage.models import Scope

KEPT = "rondel_gateway_answers_kept"
BYTES = "rondel_gateway_answers_kept_bytes"
LOOKED = "rondel_gateway_cache_total"


class Marks(NamedTuple):
    """What stands in the keys of a route's answers and is another after every order: `own` in all of them, `shared` in
    those that keys share.
    """

    own: str
    shared: str


def marks_of(purges: Iterable[Purge], route: str) -> Marks:
    """Of one route, from the orders of its project's environment."""
    whole, own, keys = "", "", list[str]()
    for purge in purges:
        if purge.key_id:
            keys.append(purge.token)
        elif purge.route == route:
            own = purge.token
        elif not purge.route:
            whole = purge.token
    shared = hashlib.blake2b(" ".join(sorted(keys)).encode(), digest_size=16).hexdigest() if keys else ""
    return Marks(f"{whole} {own}".strip(), shared)


def mark_of_key(purges: Iterable[Purge], key_id: str) -> str:
    """The token that stands in the keys of answers that are this key's alone."""
    return next((purge.token for purge in purges if purge.key_id == key_id), "")


def kept_of(scope: Scope, figures: Sequence[Figures]) -> list[KeptOnRoute]:
    """What the workers of a machine keep and look up on each route, by route.

    They share what they keep, so that the largest figure counts; what they look up is added up.
    """
    answers: dict[str, int] = {}
    sizes: dict[str, int] = {}
    outcomes: dict[str, dict[str, int]] = {}
    for number, labels in _here(scope, figures):
        route, value = labels.get("route", ""), int(number.value)
        if number.family == KEPT and labels.get("where") == "machine":
            answers[route] = max(answers.get(route, 0), value)
        elif number.family == BYTES and labels.get("where") == "machine":
            sizes[route] = max(sizes.get(route, 0), value)
        elif number.family == LOOKED:
            told = outcomes.setdefault(route, {})
            told[labels["outcome"]] = told.get(labels["outcome"], 0) + value
    return [
        KeptOnRoute(
            route=route,
            answers=answers.get(route, 0),
            size_bytes=sizes.get(route, 0),
            outcomes=dict(sorted(outcomes.get(route, {}).items())),
        )
        for route in sorted({*answers, *outcomes})
    ]


def _here(scope: Scope, figures: Sequence[Figures]) -> Iterable[tuple[Number, dict[str, str]]]:
    for process in figures:
        for number in process.numbers:
            labels = dict(number.labels)
            if (labels.get("project"), labels.get("environment")) == (scope.project_id, scope.environment):
                yield number, labels
