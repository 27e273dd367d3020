"""The filter language means what it says, and says what it does not know."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.telemetry.language import FIELDS, parse_filter
from rondel.telemetry.models import Bound, TraceFilter


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", TraceFilter()),
        ("status:error", TraceFilter(status=("error",))),
        ("release:rel_1 release:rel_2", TraceFilter(releases=("rel_1", "rel_2"))),
        ("model:gpt*,qwen3-8b", TraceFilter(models=("gpt*", "qwen3-8b"))),
        ('user:"Ada L."', TraceFilter(users=("Ada L.",))),
        ("cost>0.01", TraceFilter(bounds=(Bound("cost", ">", 0.01),))),
        ("cost>=$2", TraceFilter(bounds=(Bound("cost", ">=", 2.0),))),
        ("latency<2s ttft<=250ms", TraceFilter(bounds=(Bound("latency", "<", 2000), Bound("ttft", "<=", 250)))),
        ("score.faithful<0.5", TraceFilter(bounds=(Bound("score.faithful", "<", 0.5),))),
        ('"my parcel" refund', TraceFilter(text=("my parcel", "refund"))),
        ("A" * 32, TraceFilter(trace_ids=("a" * 32,))),
        ("Where is it?", TraceFilter(text=("Where", "is", "it?"))),
        ("feedback:down kind:tool", TraceFilter(feedback=("down",), kinds=("tool",))),
    ],
)
def test_meaning(text: str, meaning: TraceFilter) -> None:
    assert parse_filter(text) == meaning


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stauts:error", "Did you mean 'status'"),
        ("status:eror", "Did you mean 'error'"),
        ("kind:lm", "Did you mean 'llm'"),
        ("cots>1", "Did you mean 'cost'"),
        ("cost>cheap", "'cheap' is no figure for 'cost'"),
        ("cost>2s", "'2s' is no figure for 'cost'"),
        ("latency>fast", "2s or 250ms"),
        ("release:", "needs a value"),
        ("score.>1", "cannot be compared"),
    ],
)
def test_what_is_not_known_is_said(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence.replace("$", r"\$")):
        parse_filter(text)


@given(st.text())
def test_any_text_is_a_filter_or_one_sentence(text: str) -> None:
    with contextlib.suppress(Invalid):
        parse_filter(text)


@pytest.mark.parametrize("field", FIELDS.values())
def test_every_field_is_one_of_the_filter(field: str) -> None:
    assert hasattr(TraceFilter(), field)
