"""Answers that need not be asked for: what a release said to the very examples when they came in live."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from rondel.datasets.models import Example
from rondel.datasets.rules import asked, input_of
from rondel.errors import Invalid
from rondel.evaluation.models import Target
from rondel.evaluation.runner import Answer
from rondel.storage.models import Scope
from rondel.telemetry.models import Span, Status, Trace, TraceFilter

Walk = Callable[[Scope, TraceFilter], Iterator[Trace]]
"""`Traces.walk`."""
TRACES_AT_ONCE = 500
RELEASE_ID = "rel_"


def check_recorded(target: Target) -> None:
    """A recorded answer is one to the release as it is; with another prompt or parameters there is none.

    Raises:
        Invalid: the target is no release's id, or brings something of its own.
    """
    if not target.model.startswith(RELEASE_ID):
        raise Invalid(f"Recorded answers are those of a release: give its id ({RELEASE_ID}…), not {target.model!r}.")
    if target.prompt or target.messages or target.parameters or target.response_schema:
        raise Invalid("Recorded answers are those of a release as it is: leave out the prompt and the parameters.")


def recorded(walk: Walk, scope: Scope, release: str, examples: Iterable[Example]) -> Mapping[str, Answer]:
    """Answers by example id, of those examples whose trace holds one of this release (an id) to this very input.

    Only answers at temperature 0 are taken. Others are one draw of many, and examples are often kept because of how
    that draw turned out: a dataset of complaints would call the release that got them worse than it is.
    """
    by_trace = {example.trace_id: example for example in examples if example.trace_id}
    found: dict[str, Answer] = {}
    trace_ids = tuple(by_trace)
    for start in range(0, len(trace_ids), TRACES_AT_ONCE):
        some = trace_ids[start : start + TRACES_AT_ONCE]
        for trace in walk(scope, TraceFilter(trace_ids=some, releases=(release,))):
            example, span = by_trace.get(trace.trace_id), asked(trace)
            if example and span and _is_settled(trace, span, release) and input_of(span) == example.input:
                found[example.id] = _answer(span)
    return found


def _is_settled(trace: Trace, span: Span, release: str) -> bool:
    """Whether asking again would give the same: one model call of this release, whole, at temperature 0."""
    calls = [one for one in trace.spans if one.parameters and one.release_id == release and one.arm != "shadow"]
    return (
        span.release_id == release
        and span.status is Status.OK
        and bool(span.output_text)
        and len(calls) == 1
        and calls[0].parameters.get("temperature") == 0
    )


def _answer(span: Span) -> Answer:
    tokens = span.tokens
    return Answer(
        span.output_text,
        response_id=span.response_id,
        trace_id=span.trace_id,
        latency_ms=span.duration_ms,
        input_tokens=tokens.input if tokens else 0,
        output_tokens=tokens.output if tokens else 0,
        cached=True,
    )
