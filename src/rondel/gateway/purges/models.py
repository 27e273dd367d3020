"""Orders to forget kept answers."""

import msgspec


class Purge(msgspec.Struct, frozen=True, kw_only=True):
    """The newest order to forget the answers kept in a project's environment, or those of one route or one key in it.

    `token` is another with every order, so that an answer kept before one is told from an answer kept after it without
    a look at any clock.
    """

    project_id: str
    environment: str
    token: str
    route: str = ""
    key_id: str = ""


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of an order: what gateways give again no more from the moment they hear of it."""

    token: str
    what: str
    """`project`, `route` or `key`."""
    name: str
    environments: tuple[str, ...]


class KeptOnRoute(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a route on this machine, and how often it was looked up since the workers started.

    `outcomes` are counts by the words of `rondel_gateway_cache_total`.
    """

    route: str
    answers: int
    size_bytes: int
    outcomes: dict[str, int]
