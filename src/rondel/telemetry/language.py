"""The filter language of API, command line and console: `status:error release:x cost>0.01 score.faithful<0.5 "some
words"`.

Terms are joined by "and"; several values of one field, or `a,b`, by "or". A value may end in `*`, and stands in quotes
when it holds spaces. Anything else is text that must occur; a whole trace id finds that trace.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from rondel.errors import Invalid, did_you_mean
from rondel.telemetry.models import Bound, Operator, SpanKind, Status, TraceFilter

FIELDS: Mapping[str, str] = {
    "status": "status",
    "route": "routes",
    "release": "releases",
    "arm": "arms",
    "model": "models",
    "provider": "providers",
    "session": "sessions",
    "user": "users",
    "name": "names",
    "kind": "kinds",
    "tag": "tags",
    "feedback": "feedback",
    "trace": "trace_ids",
}
"""Words before a colon, and the field of `TraceFilter` that each sets."""

_CLOSED: Mapping[str, tuple[str, ...]] = {
    "status": tuple(one.value for one in Status),
    "kind": tuple(one.value for one in SpanKind),
    "feedback": ("up", "down"),
}

_SCALE = {"s": 1000.0, "ms": 1.0}
_MEASURES = ("cost", "latency", "ttft", "tokens")
_TERM = re.compile(
    r"""\s*(?:
        (?P<field>[A-Za-z_]+):(?P<value>"[^"]*"|\S*)
      | (?P<measure>[A-Za-z_][\w.\-]*)(?P<operator>>=|<=|>|<|=)(?P<number>\S+)
      | "(?P<quoted>[^"]*)"
      | (?P<word>\S+)
    )""",
    re.VERBOSE,
)
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")


def parse_filter(text: str, onto: TraceFilter | None = None) -> TraceFilter:
    """The filter that `text` means, added to `onto`.

    Raises:
        Invalid: an unknown field or measure, a value out of a closed set, or a figure that is no number.
    """
    asked = onto or TraceFilter()
    words: list[str] = []
    for term in _TERM.finditer(text.strip()):
        if field := term["field"]:
            asked = _with_field(asked, field.lower(), term["value"])
        elif measure := term["measure"]:
            bound = _bound(measure, cast("Operator", term["operator"]), term["number"])
            asked = replace(asked, bounds=(*asked.bounds, bound))
        elif term["quoted"] is not None:
            asked = replace(asked, text=(*asked.text, term["quoted"])) if term["quoted"].strip() else asked
        elif _TRACE_ID.fullmatch(term["word"]):
            asked = replace(asked, trace_ids=(*asked.trace_ids, term["word"].lower()))
        else:
            words.append(term["word"])
    return replace(asked, text=(*asked.text, *words))


def _with_field(asked: TraceFilter, field: str, value: str) -> TraceFilter:
    if field not in FIELDS:
        raise Invalid(f"Traces have no field {field!r}. {did_you_mean(field, FIELDS)}")
    values = (
        (value[1:-1],) if value.startswith('"') and value.endswith('"') and len(value) > 1 else tuple(value.split(","))
    )
    values = tuple(one for one in values if one)
    if not values:
        raise Invalid(f"'{field}:' needs a value, such as {field}:{_CLOSED.get(field, ('name',))[0]}.")
    for one in values:
        if field in _CLOSED and one not in _CLOSED[field]:
            raise Invalid(f"{one!r} is no {field}. {did_you_mean(one, _CLOSED[field])}")
    if field == "trace":
        values = tuple(one.lower() for one in values)
    already: tuple[str, ...] = getattr(asked, FIELDS[field])
    return replace(asked, **{FIELDS[field]: (*already, *values)})


def _bound(measure: str, operator: Operator, number: str) -> Bound:
    if measure not in _MEASURES and not (measure.startswith("score.") and len(measure) > len("score.")):
        raise Invalid(f"{measure!r} cannot be compared. {did_you_mean(measure, [*_MEASURES, 'score.<name>'])}")
    amount = re.fullmatch(r"\$?(-?\d+(?:\.\d+)?(?:e-?\d+)?)(ms|s)?", number)
    is_time = measure in {"latency", "ttft"}
    if amount is None or (amount[2] and not is_time):
        example = "2s or 250ms" if is_time else "0.01"
        raise Invalid(f"{number!r} is no figure for {measure!r}: write one such as {example}.")
    return Bound(measure, operator, float(amount[1]) * _SCALE.get(amount[2] or "ms", 1.0))
