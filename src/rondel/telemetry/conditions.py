"""A `TraceFilter` as conditions in ClickHouse's SQL; values travel as parameters, names are ours alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rondel.errors import Invalid, did_you_mean
from rondel.storage.models import Scope
from rondel.telemetry.models import FEEDBACK, Bound, TraceFilter
from rondel.telemetry.tables import SCORES, SPANS

ANY_SPAN: Mapping[str, str] = {
    "routes": "route",
    "releases": "release_id",
    "arms": "arm",
    "models": "model",
    "providers": "provider",
    "sessions": "session",
    "users": "user",
    "kinds": "kind",
}
"""Fields of the filter that a trace has when any of its spans has the value, and their columns."""

HEAD: Mapping[str, str] = {"status": "status", "names": "name"}
"""Fields of the filter that are those of the span where the trace begins, and their columns."""

MEASURES = ("cost", "latency", "ttft", "tokens")
"""What a `Bound` may limit, beside `score.<name>`."""

_OPERATORS = {">", ">=", "<", "<=", "="}


@dataclass(slots=True)
class Ask:
    """The parameters of one question; `p` adds one and gives its place in the text."""

    scope: Scope
    parameters: dict[str, object] = field(default_factory=dict[str, object])

    def p(self, value: object, kind: str) -> str:
        """The placeholder of `value`, of ClickHouse's type `kind`."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def moment(self, at: datetime) -> str:
        """The placeholder of a moment, exact to the microsecond."""
        return self.p(f"{at:%Y-%m-%d %H:%M:%S.%f}", "DateTime64(6, 'UTC')")

    def ours(self) -> str:
        """Rows of this scope."""
        if "project" not in self.parameters:
            self.parameters |= {"project": self.scope.project_id, "environment": self.scope.environment}
        return "project_id = {project:String} AND environment = {environment:String}"

    def one_of(self, column: str, values: Sequence[str]) -> str:
        """`column` has one of `values`; a value may end in `*`."""
        exact = [value for value in values if not value.endswith("*")]
        parts = [f"{column} IN {self.p(exact, 'Array(String)')}"] if exact else []
        parts += [f"startsWith({column}, {self.p(value[:-1], 'String')})" for value in values if value.endswith("*")]
        return f"({' OR '.join(parts)})"

    def within(self, since: datetime | None, until: datetime | None, column: str = "at") -> list[str]:
        """`column` lies in [since, until)."""
        parts = [f"{column} >= {self.moment(since)}"] if since else []
        return [*parts, f"{column} < {self.moment(until)}"] if until else parts


def entries(ask: Ask, asked: TraceFilter) -> str:
    """Conditions on a span that a matching trace may begin at; whether it is the one is for the query to say."""
    parts = [ask.ours(), "entry != 'inner'", *ask.within(asked.since, asked.until)]
    for name, column in HEAD.items():
        if values := getattr(asked, name):
            parts.append(ask.one_of(column, values))
    parts += [
        f"duration_us {_operator(bound)} {ask.p(bound.value * 1000, 'Float64')}"
        for bound in asked.bounds
        if bound.measure == "latency"
    ]
    return " AND ".join([*parts, *whole_trace(ask, asked)])


def whole_trace(ask: Ask, asked: TraceFilter) -> list[str]:
    """Conditions on `trace_id` for what any span, the sum of the spans, or a score of the trace must have."""
    parts: list[str] = []
    if asked.trace_ids:
        parts.append(f"trace_id IN {ask.p(list(asked.trace_ids), 'Array(String)')}")
    for name, column in ANY_SPAN.items():
        if values := getattr(asked, name):
            parts.append(_some_span(ask, asked, ask.one_of(column, values)))
    if asked.tags:
        parts.append(_some_span(ask, asked, f"hasAny(tags, {ask.p(list(asked.tags), 'Array(String)')})"))
    parts += [_some_span(ask, asked, _says(ask, phrase)) for phrase in asked.text if phrase.strip()]
    if asked.feedback:
        parts.append(_thumbs(ask, asked.feedback))
    parts += [_bounded(ask, asked, bound) for bound in asked.bounds if bound.measure != "latency"]
    return parts


def counts(ask: Ask) -> str:
    """Whether a span's tokens and cost count in a sum; the rule is `rules.counted`."""
    return (
        f"NOT summarises AND span_id NOT IN (SELECT parent_id FROM {SPANS} "
        f"WHERE {ask.ours()} AND kind = 'gateway' AND parent_id != '')"
    )


def latest_scores(ask: Ask, *conditions: str) -> str:
    """A subquery: one value a trace and score name, the latest of each source, averaged over sources."""
    where = " AND ".join([ask.ours(), "value IS NOT NULL", "trace_id != ''", *conditions])
    return (
        "(SELECT trace_id, name, avg(latest) AS score FROM ("
        f"SELECT trace_id, name, source, argMax(assumeNotNull(value), (at, id)) AS latest FROM {SCORES} "
        f"WHERE {where} GROUP BY trace_id, name, source) GROUP BY trace_id, name)"
    )


def answer_scores(ask: Ask, *conditions: str) -> str:
    """As `latest_scores`, but one value an answer: by `of_trace` and `of_response`."""
    where = " AND ".join([ask.ours(), "value IS NOT NULL", "trace_id != ''", *conditions])
    return (
        "(SELECT trace_id AS of_trace, response_id AS of_response, avg(latest) AS score FROM ("
        f"SELECT trace_id, response_id, source, argMax(assumeNotNull(value), (at, id)) AS latest FROM {SCORES} "
        f"WHERE {where} GROUP BY trace_id, response_id, source) GROUP BY trace_id, response_id)"
    )


def _some_span(ask: Ask, asked: TraceFilter, condition: str) -> str:
    where = " AND ".join([ask.ours(), *ask.within(asked.since, None), condition])
    return f"trace_id IN (SELECT trace_id FROM {SPANS} WHERE {where})"


def _says(ask: Ask, phrase: str) -> str:
    """Whole words through the index, and, when there are several, in this order."""
    words = ask.p(phrase, "String")
    if not any(character.isalnum() for character in phrase):
        return f"(position(input_text, {words}) > 0 OR position(output_text, {words}) > 0)"
    if phrase.isalnum():
        return f"(hasAllTokens(input_text, {words}) OR hasAllTokens(output_text, {words}))"
    return " OR ".join(
        f"(hasAllTokens({text}, {words}) AND positionCaseInsensitive({text}, {words}) > 0)"
        for text in ("input_text", "output_text")
    ).join("()")


def _thumbs(ask: Ask, wanted: Sequence[str]) -> str:
    known = {"up": "score > 0", "down": "score <= 0"}
    for value in wanted:
        if value not in known:
            raise Invalid(f"Feedback {value!r} is not known. {did_you_mean(value, known)}")
    thumbs = latest_scores(ask, f"name = '{FEEDBACK}'")
    return f"trace_id IN (SELECT trace_id FROM {thumbs} WHERE {' OR '.join(known[value] for value in wanted)})"


def _bounded(ask: Ask, asked: TraceFilter, bound: Bound) -> str:
    operator, value = _operator(bound), ask.p(float(bound.value), "Float64")
    if bound.measure.startswith("score."):
        scores = latest_scores(ask, f"name = {ask.p(bound.measure[len('score.') :], 'String')}")
        return f"trace_id IN (SELECT trace_id FROM {scores} WHERE score {operator} {value})"
    figure = {
        "cost": f"sumIf(cost, {counts(ask)}) / 1e9",
        "tokens": f"sumIf(tokens, {counts(ask)})",
        "ttft": "argMinIf(ttft_ms, (entry, at), ttft_ms IS NOT NULL)",
    }
    if bound.measure not in figure:
        raise Invalid(
            f"{bound.measure!r} cannot be compared. {did_you_mean(bound.measure, [*MEASURES, 'score.<name>'])}"
        )
    where = " AND ".join([ask.ours(), *ask.within(asked.since, None)])
    return (
        f"trace_id IN (SELECT trace_id FROM {SPANS} WHERE {where} "
        f"GROUP BY trace_id HAVING {figure[bound.measure]} {operator} {value})"
    )


def _operator(bound: Bound) -> str:
    if bound.operator not in _OPERATORS:
        raise Invalid(f"{bound.operator!r} is no comparison: use >, >=, <, <= or =.")
    return bound.operator
