"""What a person can set on a route about who answers: a policy over its targets, rules, hedging, a cascade."""

from enum import StrEnum
from typing import Annotated

import msgspec


class Policy(StrEnum):
    """In which order the targets of a release are asked."""

    ORDER = "order"
    """As they stand."""
    WEIGHTS = "weights"
    """Drawn by their weights."""
    LEAST_BUSY = "least_busy"
    """The one with the fewest requests of this worker under way."""
    FASTEST = "fastest"
    """The better of two drawn at random, by the peak moving average of the time to the first byte and by how many
    requests are under way."""
    CHEAPEST = "cheapest"
    """By what the request may cost at each; unknown prices last."""


class Affinity(StrEnum):
    """What stays with its target as long as that is well, so that its prompt is found in the provider's cache."""

    NONE = "none"
    SESSION = "session"
    USER = "user"


class Weekday(StrEnum):
    """Monday is the first, as in `datetime.weekday`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class When(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on a request; everything that is named has to hold.

    Patterns are those of file names (`gold*`). `hours` is `08:00-18:00`, the end not included, over midnight where it
    ends before it begins. `tokens_over` and `tokens_under` go by a guess of the prompt's length: four bytes a token.
    """

    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    weekdays: tuple[Weekday, ...] = ()
    hours: str = ""
    zone: str = "UTC"
    tokens_over: Annotated[int, msgspec.Meta(ge=0)] | None = None
    tokens_under: Annotated[int, msgspec.Meta(ge=0)] | None = None


class RouteRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers where a condition holds: `connection/model`, or the name of a route or of a release."""

    when: When
    use: str


class Hedge(msgspec.Struct, frozen=True, kw_only=True):
    """A second target is asked when no first byte has come after `after_s` seconds; without them after the 95th
    percentile of what the first target has shown."""

    after_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """Another route whose model says whether an answer is good enough; one that does not say so in time is taken to
    agree."""

    route: str
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    rubric: str = ""
    """What a good answer is; empty is the built-in one."""


class Cascade(msgspec.Struct, frozen=True, kw_only=True):
    """The targets in their order, cheap first: an answer that is not good enough goes on to the next one.

    `shorter_than` counts characters; `pattern` is a regular expression that is looked for in the first 2,000.
    """

    finish_reasons: tuple[str, ...] = ("length", "content_filter")
    is_refused: bool = True
    """Escalate what a guardrail refuses."""
    is_no_json: bool = True
    """Escalate what is no JSON where JSON was asked for."""
    shorter_than: Annotated[int, msgspec.Meta(ge=0)] = 0
    pattern: str = ""
    judge: Judge | None = None


class Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as a worker reads it: to a release by its id, or to a route by its name."""

    when: When
    release_id: str = ""
    route: str = ""
