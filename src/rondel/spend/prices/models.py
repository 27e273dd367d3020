"""A price that a person set."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rondel.events import Event
from rondel.spend.models import ModelPrice

ANY = "*"
"""The model that stands for every model of a provider."""


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """What `model` at `provider` costs from `starts_at` on, until a later price of the same model starts.

    `provider` is what connections call it, such as `openai` or `local`; the model `*` is any of the provider's that has
    no price of its own. The version of `price` names the price's id.
    """

    id: str
    provider: str
    model: str
    starts_at: datetime
    price: ModelPrice
    set_by: str
    set_at: datetime


class Found(NamedTuple):
    """The price that holds, and whether a person of the project set it."""

    price: ModelPrice
    is_own: bool


class PricesChanged(Event, frozen=True, kw_only=True):
    """A price was set or removed: gateways need a new snapshot."""

    provider: str
    model: str
