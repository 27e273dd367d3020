"""Which state machine drives a request: most need nothing beyond the plain one."""

from rondel.gateway.dataplane.cascading import CascadedExchange
from rondel.gateway.dataplane.exchange import Exchange
from rondel.gateway.dataplane.hedging import HedgedExchange
from rondel.gateway.dataplane.ways import Lane


def exchange_of(lane: Lane) -> type[Exchange]:
    """By what the route wants; a cascade goes before hedging."""
    if lane.cascade is not None:
        return CascadedExchange
    return HedgedExchange if lane.hedge is not None else Exchange
