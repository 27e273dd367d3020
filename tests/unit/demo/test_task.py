"""The demo's messages are what they claim to be, and anybody's rows are read or refused in words."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from rondel.chat import Message
from rondel.demo.task import built_in, load
from rondel.errors import Invalid, NotFound
from rondel.prompts.rules import render

ROWS = [json.loads(line) for line in built_in().read_text(encoding="utf-8").splitlines()]
FIELDS = ["intent", "also", "product", "order", "reply"]
INTENTS = {"delivery", "return", "refund", "exchange", "cancel", "question"}


def test_there_are_at_least_600_and_each_is_labelled_whole() -> None:
    assert len(ROWS) >= 600
    for row in ROWS:
        assert list(row) == ["input", "expected"]
        assert list(row["expected"]) == FIELDS
        assert row["expected"]["intent"] in INTENTS
        assert row["expected"]["also"] in INTENTS - {row["expected"]["intent"]} | {None}


def test_an_order_number_that_is_expected_stands_in_the_message() -> None:
    for row in ROWS:
        if order := row["expected"]["order"]:
            assert re.fullmatch(r"MO\d{5}", order)
            assert order[2:] in re.sub(r"[\s-]", "", row["input"]), row


def test_some_answers_must_be_null_and_every_value_occurs() -> None:
    for name in FIELDS[1:]:
        missing = sum(row["expected"][name] is None for row in ROWS) / len(ROWS)
        assert 0.1 < missing < 0.9, name
    intents = Counter(row["expected"]["intent"] for row in ROWS)
    assert set(intents) == INTENTS
    assert max(intents.values()) < 2 * min(intents.values())


def test_the_schema_is_derived_and_nulls_are_allowed_where_they_occur() -> None:
    task = load(built_in(), traffic=240)
    assert len(task.traffic) == 240
    assert not {row.input for row in task.traffic} & {row.input for row in task.live}
    properties = task.schema["properties"]
    assert set(properties["intent"]["enum"]) == INTENTS
    assert None in properties["product"]["enum"]
    assert "enum" not in properties["order"]
    assert task.first_prompt["response_schema"] == task.schema
    assert "response_schema" not in task.plain_prompt


def test_the_first_prompt_shows_the_fields_whatever_they_are_called(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [{"input": f"text {n}", "expected": {"{{ a }}": f"x{n}", "b": None}} for n in range(200)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = load(path, traffic=240)
    prompt = tuple(Message(one["role"], one["content"]) for one in task.plain_prompt["messages"])
    [system, user] = render(prompt, {"input": "hello"})
    assert system.content == task.instruction
    assert task.instruction.endswith('{"{{ a }}":"...","b":"..."}')
    assert user.content == "hello"


def test_labels_that_are_texts_make_a_task_of_choices(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(
        "".join(json.dumps({"input": f"text {n}", "expected": f"label {n % 4}"}) + "\n" for n in range(200))
    )
    task = load(path, traffic=240)
    assert task.first_prompt["response_schema"]["enum"] == [f"label {n}" for n in range(4)]
    assert "label 3" not in task.instruction  # which values there are is left to the schema
    assert len(task.traffic) == 133


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("not json", "Line 2"),
        ('{"input": "x"}', "Line 2"),
        ('{"input": 3, "expected": "x"}', "Line 2"),
        ('{"input": "x", "expected": 3}', "a text or an object"),
        ('{"input": " ", "expected": "x"}', "'input' needs text"),
        ('{"input": "x", "expected": {"a": 1}}', "mixes answers"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"input": "fine", "expected": "yes"}\n' + line + "\n")
    with pytest.raises(Invalid, match=sentence):
        load(path, traffic=10)


def test_too_few_rows_and_no_file_are_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"input": "fine", "expected": "yes"}\n')
    with pytest.raises(Invalid, match="at least 120"):
        load(path, traffic=10)
    with pytest.raises(NotFound):
        load(tmp_path / "none.jsonl", traffic=10)
