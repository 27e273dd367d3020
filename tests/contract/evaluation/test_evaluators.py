"""What every evaluator promises, and what each one calls right."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rondel.chat import ChatAnswer, ChatRequest, Delta
from rondel.errors import Invalid, UpstreamFailed
from rondel.evaluation.models import Case
from rondel.evaluation.ports import EVALUATORS, Evaluator, Means


class Judge:
    """A model that says what it is told to say, one reply after the other."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[ChatRequest] = []

    def answer(self, request: ChatRequest, *, deadline_s: float) -> ChatAnswer:
        """The next reply."""
        assert deadline_s > 0
        self.asked.append(request)
        return ChatAnswer("cc_1", request.model, self.replies.pop(0), "stop", None, 0.1)

    def stream(self, request: ChatRequest, *, deadline_s: float) -> Iterator[Delta]:
        """The next reply in one piece."""
        yield Delta(self.answer(request, deadline_s=deadline_s).text)


class Letters:
    """Vectors by whether a text holds a, b, c."""

    name, version, dimensions = "letters", "1", 3

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 3)."""
        found = np.array([[letter in text for letter in "abc"] for text in texts], dtype=np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def make(name: str, **options: object) -> Evaluator:
    return EVALUATORS.get(name)(**options)


def value(evaluator: Evaluator, output: str, expected: object = None, means: Means | None = None) -> float:
    return evaluator.grade(Case("in", expected, output), means or Means()).value


NEEDED: Mapping[str, Mapping[str, object]] = {
    "regex": {"pattern": "a+"},
    "llm_judge": {"model": "judge", "rubric": "Is it right?"},
    "json_schema": {"schema": {"type": "object"}},
}
NAMES = [info.name for info in EVALUATORS.list() if info.package == "rondel"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output", ["", "{", "null", "[" * 5000, "7", '{"a": 1}', "\ud800", "NaN", "```json\n{}\n```"])
def test_a_grade_is_from_0_to_1_and_the_same_again(name: str, output: str) -> None:
    evaluator = make(name, **NEEDED.get(name, {}))
    reply = '{"reason": "so", "score": 3}'
    expected: object = 7
    grades = [
        evaluator.grade(Case("in", expected, output), Means(chat=Judge(reply), embedder=Letters())) for _ in range(2)
    ]
    assert grades[0] == grades[1]
    assert 0 <= grades[0].value <= 1


def test_all_of_the_evaluators_are_installed() -> None:
    assert set(NAMES) == {
        "contains",
        "embedding_similarity",
        "exact_match",
        "fields_match",
        "json_schema",
        "llm_judge",
        "numeric",
        "regex",
    }


def test_an_exact_match_reads_json_where_it_is_json() -> None:
    exact = make("exact_match")
    assert value(exact, '```json\n{"b": 2, "a": 1.0}\n```', {"a": 1, "b": 2}) == 1
    assert value(exact, " yes\n", "yes") == 1
    assert value(exact, '"yes"', "yes") == 1
    assert value(exact, "Yes", "yes") == 0
    assert value(make("exact_match", ignore_case=True), "Yes", "yes") == 1
    assert value(exact, "true", 1) == 0


def test_fields_count_by_themselves() -> None:
    fields = make("fields_match")
    expected = {"a": 1, "b": None, "c": "x", "d": [1]}
    graded = fields.grade(Case("in", expected, '{"a": 1, "c": "y", "d": [1], "more": 1}'), Means())
    assert graded.value == 0.75
    assert graded.details == {"a": 1, "b": 1, "c": 0, "d": 1}
    assert value(fields, "no object", expected) == 0


def test_parts_patterns_and_numbers() -> None:
    assert value(make("contains"), "The CAT sat", ["cat", "dog"]) == 0.5
    assert value(make("contains", ignore_case=False), "The CAT sat", "cat") == 0
    assert value(make("regex", pattern=r"\d+"), "it is 42") == 1
    assert value(make("regex", pattern=r"\d+", whole=True), "it is 42") == 0
    assert value(make("numeric", tolerance=0.5), "3 and then 1,000.25", 1000) == 1
    assert value(make("numeric", tolerance=0.01, relative=True), "102", 100) == 0
    assert value(make("numeric"), "none", 100) == 0


def test_a_schema_is_held_and_nothing_is_fetched_for_it() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    assert value(make("json_schema", schema=schema), '{"a": 1}') == 1
    assert value(make("json_schema", schema=schema), '{"a": "1"}') == 0
    assert value(make("json_schema", schema=schema), "a") == 0
    with pytest.raises(Invalid, match="not in it"):
        value(make("json_schema", schema={"$ref": "http://127.0.0.1:9/schema.json"}), "{}")


def test_nearness_is_a_cosine_or_a_threshold() -> None:
    means = Means(embedder=Letters())
    assert value(make("embedding_similarity"), "a", "ab", means) == pytest.approx(0.5**0.5)
    assert value(make("embedding_similarity", at_least=0.8), "a", "ab", means) == 0
    with pytest.raises(Invalid, match="embedder"):
        value(make("embedding_similarity"), "a", "a")


def test_a_judge_sees_no_target_and_is_asked_once_more() -> None:
    judge = Judge("Well.", 'Sure: {"reason": "Good.", "score": 4}')
    asked = make("llm_judge", model="judge", rubric="Is it right?")
    graded = asked.grade(Case("the question", "the reference", "the answer"), Means(chat=judge))
    assert (graded.value, graded.reason) == (0.75, "Good.")
    shown = judge.asked[0].messages[1].content
    assert all(part in shown for part in ("the question", "the reference", "the answer"))
    with pytest.raises(UpstreamFailed, match="no score"):
        value(asked, "a", means=Means(chat=Judge('{"score": 9}', "?")))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("regex", {"pattern": "("}),
        ("json_schema", {"schema": {"type": "objekt"}}),
        ("llm_judge", {"model": "m", "rubric": " "}),
        ("llm_judge", {"model": "m", "rubric": "r", "low": 5, "high": 1}),
    ],
)
def test_a_wrong_option_is_refused_before_the_first_answer(name: str, options: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        make(name, **options)
