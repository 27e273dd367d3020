"""The task of a demo: labelled messages, how they are shared out, and the schema of their answers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from rondel.datasets.schema import schema_from_examples
from rondel.errors import Invalid, NotFound
from rondel.prompts.rules import escape

TEST_SHARE = 0.4
"""Of the messages that were sent as traffic, the share that candidates are held against and never learn from."""
FEWEST = 120
"""Rows below which nothing could be concluded."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """A message and its right answer: a string, or an object of fields."""

    input: str
    expected: Any


ANSWER_TOKENS = 80
"""What an answer may take before anything is known of the answers."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is demonstrated: `traffic` is sent first and becomes the dataset, `live` is sent while releases change.

    `more` are labelled messages that only a fine-tune learns from; no row is in two of them.
    """

    name: str
    traffic: tuple[Row, ...]
    more: tuple[Row, ...]
    live: tuple[Row, ...]
    schema: Mapping[str, Any]
    instruction: str

    @property
    def first_prompt(self) -> dict[str, Any]:
        """The prompt that the circle starts with: the instruction, and the schema of the answers if they have one."""
        prompt = self.plain_prompt | {"parameters": {"temperature": 0, "max_tokens": ANSWER_TOKENS}}
        has_shape = self.schema.get("type") == "object" or "enum" in self.schema
        return prompt | {"response_schema": dict(self.schema)} if has_shape else prompt

    @property
    def plain_prompt(self) -> dict[str, Any]:
        """The instruction alone."""
        turns = (("system", escape(self.instruction)), ("user", "{{ input }}"))
        return {"messages": [{"role": role, "content": content} for role, content in turns]}


def built_in() -> Path:
    """The messages that come with Rondel: customers of a shop for outdoor gear, 690 of them, written one by one."""
    return Path(str(files("rondel.demo.data"))) / "messages.jsonl"


def load(path: Path, *, traffic: int, training: bool = False) -> Task:
    """Read labelled rows; `traffic` of them become the first requests, the rest is sent later or learnt from.

    Raises:
        NotFound: there is no such file.
        Invalid: a line is not `{"input": text, "expected": text or object}`; the message says which.
    """
    rows = _read(path)
    if len(rows) < FEWEST:
        raise Invalid(f"{path.name!r} has {len(rows)} rows; the circle needs at least {FEWEST} to conclude anything.")
    ordered = sorted(rows, key=lambda row: hashlib.sha256(row.input.encode()).digest())
    taken = min(traffic, len(ordered) * 2 // 3)
    rest = ordered[taken:]
    learnt = len(rest) * 3 // 5 if training else 0
    schema = schema_from_examples(row.expected for row in rows)
    return Task(
        path.stem, tuple(ordered[:taken]), tuple(rest[:learnt]), tuple(rest[learnt:]), schema, _instruction(schema)
    )


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.")
    rows: dict[str, Row] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=Row)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wanted = '{"input": "text", "expected": "text" or {...}}'
            raise Invalid(f"Line {number} of {path.name!r} is not {wanted}: {error}.") from error
        if not isinstance(row.expected, str | dict) or not row.input.strip():
            raise Invalid(f"Line {number} of {path.name!r}: 'input' needs text, and 'expected' a text or an object.")
        rows.setdefault(row.input, row)
    kinds = {isinstance(row.expected, str) for row in rows.values()}
    if len(kinds) > 1:
        raise Invalid(f"{path.name!r} mixes answers that are texts with answers that are objects: choose one.")
    return list(rows.values())


def _instruction(schema: Mapping[str, Any]) -> str:
    """What the first prompt says: plainly what to answer; which values there are is left to the schema."""
    if schema.get("type") != "object":
        return "Say which kind of message this is." if "enum" in schema else "Answer the message."
    fields = dict.fromkeys(schema.get("properties", {}), "...")
    return f"Extract the fields from the message as JSON: {msgspec.json.encode(fields).decode()}"
