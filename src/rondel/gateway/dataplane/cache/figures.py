"""What a worker counts of kept answers, beside its look-ups."""

from collections.abc import Iterator
from typing import Final

from rondel.gateway.dataplane.cache.answers import Answers
from rondel.gateway.exposition import Family, Kind, Number

KEPT: Final = "rondel_gateway_answers_kept"
BYTES: Final = "rondel_gateway_answers_kept_bytes"
_SHED: Final = "rondel_gateway_answers_shed_total"
_SHARED: Final = "rondel_gateway_answers_shared_total"
_PENDING: Final = "rondel_gateway_answers_purges_pending"
LIMIT: Final = 200
"""Routes that are told of."""

FAMILIES: Final = (
    Family(KEPT, Kind.GAUGE, "Answers that are kept of a route, on this machine or shared with others."),
    Family(BYTES, Kind.GAUGE, "What they take."),
    Family(_SHED, Kind.COUNTER, "What the cache had no room for: look-ups by meaning, meanings, answers."),
    Family(_SHARED, Kind.COUNTER, "Look-ups and answers for the cache that machines share, by outcome."),
    Family(_PENDING, Kind.GAUGE, "Orders to forget kept answers that are not carried out yet."),
)


def numbers_of(answers: Answers) -> Iterator[Number]:
    """All of them; nothing where no route keeps answers."""
    for route, where, size in answers.sizes(LIMIT):
        place = (("project", route.project_id), ("environment", route.environment), ("route", route.name))
        labels = (*place, ("where", where))
        yield Number(KEPT, size.answers, labels)
        yield Number(BYTES, size.bytes, labels)
    for what, count in answers.shed.items():
        yield Number(_SHED, count, (("what", what),))
    if answers.others is not None:
        for outcome, count in answers.others.outcomes.items():
            yield Number(_SHARED, count, (("outcome", outcome),))
    if answers.is_used:
        yield Number(_PENDING, answers.pending)
