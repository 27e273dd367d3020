"""Traces as examples, chosen by a filter."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rondel.chat import OWN_TAG
from rondel.datasets.models import Collected, is_object
from rondel.datasets.traced import as_value, asked, input_of, told
from rondel.storage.models import Scope
from rondel.telemetry.models import Span, Trace, TraceFilter

Walk = Callable[[Scope, TraceFilter], Iterator[Trace]]
"""`Traces.walk`: all matching traces, whole, latest first."""
Language = Callable[[str, TraceFilter], TraceFilter]
"""Reads the filter language."""


@dataclass(frozen=True, slots=True)
class FromTelemetry:
    """The `TraceSource` over stored traces."""

    walk: Walk
    language: Language

    def read(self, query: str, plain: TraceFilter) -> TraceFilter:
        """See `TraceSource.read`."""
        return self.language(query, plain)

    def collect(
        self, scope: Scope, chosen: TraceFilter, *, expected_score: str, accept_score: str, accept_at: float, limit: int
    ) -> Iterator[Collected]:
        """See `TraceSource.collect`; traces without a recorded input, and Rondel's own calls, are passed over."""
        found = 0
        for trace in self.walk(scope, chosen):
            if found >= limit:
                return
            span = asked(trace)
            if span is None or OWN_TAG in span.tags:
                continue
            found += 1
            expected = told(trace.scores, expected_score)
            if expected is None:
                expected = _metadata(span).get("expected")
            if expected is None and accept_score and trace.row.scores.get(accept_score, accept_at - 1) >= accept_at:
                expected = as_value(span.output_text)
            yield Collected(trace.trace_id, input_of(span), expected, _about(trace, span))


def _metadata(span: Span) -> Mapping[str, object]:
    found = span.attributes.get("metadata")
    return found if is_object(found) else {}


def _about(trace: Trace, span: Span) -> dict[str, object]:
    about: dict[str, object] = {
        "route": span.route or trace.row.route,
        "release": span.release_id or trace.row.release_id,
        "model": trace.row.model,
        "session": span.session,
        "output": span.output_text or trace.row.output_text,
        "scores": dict(trace.row.scores),
    }
    return {name: value for name, value in about.items() if value}
