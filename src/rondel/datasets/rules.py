"""What an example's id is, which split it belongs to, what changed, and what is in a version."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

import msgspec
import numpy as np

from rondel.datasets.choice import choose_examples, text_of
from rondel.datasets.models import (
    DatasetDiff,
    Example,
    FieldProfile,
    IndexRow,
    LengthProfile,
    Profile,
    Row,
    is_list,
    is_object,
)
from rondel.datasets.near import leaks, normalise, similarity
from rondel.datasets.schema import enumerated_fields, schema_from_examples
from rondel.datasets.traced import asked, input_of
from rondel.errors import Invalid

__all__ = [
    "Profiler",
    "asked",
    "check_shares",
    "choose_examples",
    "diff",
    "enumerated_fields",
    "example",
    "example_id",
    "input_of",
    "leaks",
    "normalise",
    "row_from",
    "schema_from_examples",
    "similarity",
    "split_of",
    "text_of",
]

MAX_VALUE_BYTES = 4 * 1024 * 1024  # of one example

_CANONICAL = msgspec.json.Encoder(order="sorted")


def example_id(input_: object, expected: object) -> str:
    """`ex_` and 24 hex digits of the sha256 of both as canonical JSON."""
    return "ex_" + hashlib.sha256(_CANONICAL.encode([input_, expected])).hexdigest()[:24]


def example(row: Row) -> Example:
    """A row with its id.

    Raises:
        Invalid: a value is not JSON, or the example is over MAX_VALUE_BYTES.
    """
    try:
        size = len(_CANONICAL.encode([row.input, row.expected, row.metadata]))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise Invalid(
            f"Line {row.line}: a value is not JSON ({error}): use text, numbers, lists and objects."
        ) from error
    if size > MAX_VALUE_BYTES:
        raise Invalid(f"Line {row.line}: the example has {size:,} bytes; the most is {MAX_VALUE_BYTES:,}.")
    return Example(
        id=example_id(row.input, row.expected),
        input=row.input,
        expected=row.expected,
        metadata=row.metadata,
        split=row.split,
        trace_id=row.trace_id,
    )


def row_from(
    line: int, values: Mapping[str, object], *, input_field: str = "input", expected_field: str = "expected"
) -> Row:
    """A row from named values; what is neither input nor expected nor lineage goes to the metadata.

    `{"messages": [...]}` without an input is a chat: the last assistant message is the expected answer.

    Raises:
        Invalid: there is no input, or a name looks like a misspelt `expected`.
    """
    rest = dict(values)
    rest.pop("id", None)
    if input_field not in rest and "messages" in rest:
        return _chat(line, rest)
    if input_field not in rest:
        named = ", ".join(map(repr, list(values)[:8])) or "nothing"
        raise Invalid(
            f"line {line} has no {input_field!r} (it has {named}): name the field that is the input (--input)."
        )
    near = [] if expected_field in rest else get_close_matches(expected_field, list(rest), n=1, cutoff=0.8)
    if near:
        raise Invalid(f"line {line} has {near[0]!r}: did you mean {expected_field!r}?")
    input_, expected = rest.pop(input_field), rest.pop(expected_field, None)
    if input_ is None or input_ == "":
        raise Invalid(f"line {line} has an empty {input_field!r}: every example needs an input.")
    return _row(line, input_, expected, rest)


def _chat(line: int, rest: dict[str, object]) -> Row:
    messages = rest.pop("messages")
    if not is_list(messages) or not messages:
        raise Invalid(f"line {line}: 'messages' is not a list of messages with a role and a content.")
    turns = list(messages)
    for turn in turns:
        if not is_object(turn) or not isinstance(turn.get("role"), str):
            raise Invalid(f"line {line}: a message has no 'role': write {{'role': 'user', 'content': '…'}}.")
    last = turns[-1]
    if len(turns) > 1 and is_object(last) and last.get("role") == "assistant":
        return _row(line, {"messages": turns[:-1]}, last.get("content"), rest)
    return _row(line, {"messages": turns}, rest.pop("expected", None), rest)


def _row(line: int, input_: object, expected: object, rest: dict[str, object]) -> Row:
    split, trace_id, metadata = rest.pop("split", None), rest.pop("trace_id", None), rest.pop("metadata", None)
    if not isinstance(split, str | None) or not isinstance(trace_id, str | None):
        raise Invalid(f"line {line}: 'split' and 'trace_id' are text, or left out.")
    if metadata is not None and not is_object(metadata):
        raise Invalid(f"line {line}: 'metadata' is not an object.")
    return Row(line, input_, expected, {**(metadata or {}), **rest}, split or "", trace_id or None)


def check_shares(shares: Mapping[str, float]) -> None:
    """Shares of splits are positive and sum to 1.

    Raises:
        Invalid: they do not.
    """
    if not shares or any(share <= 0 or not name for name, share in shares.items()):
        raise Invalid("Every split has a name and a share above 0, such as train=0.8 test=0.2.")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise Invalid(f"The shares of the splits sum to {sum(shares.values()):g}: they must sum to 1.")


def split_of(input_: object, shares: Mapping[str, float], *, salt: str = "") -> str:
    """The split of an input, by the hash of its normalised text: the same for ever, whatever else is in the dataset."""
    key = normalise(text_of(input_)) or _CANONICAL.encode(input_).decode()
    point = int.from_bytes(hashlib.sha256(f"{salt}\n{key}".encode()).digest()[:8], "big") / 2**64
    edge = 0.0
    for name, share in shares.items():
        edge += share
        if point < edge:
            return name
    return list(shares)[-1]


def diff(before: tuple[str, Iterable[IndexRow]], after: tuple[str, Iterable[IndexRow]]) -> DatasetDiff:
    """What changed, from the index rows of two versions (each given as reference and rows)."""
    old = {row.example_id: (row.split, row.trace_id) for row in before[1]}
    added: list[str] = []
    changed: list[str] = []
    same = 0
    for row in after[1]:
        found = old.pop(row.example_id, None)
        if found is None:
            added.append(row.example_id)
        elif found != (row.split, row.trace_id):
            changed.append(row.example_id)
        else:
            same += 1
    return DatasetDiff(before[0], after[0], tuple(added), tuple(old), tuple(changed), same)


class Profiler:
    """Adds up a profile example by example, in memory that does not grow with texts; `finish` gives it."""

    MAX_VALUES = 1000  # distinct values counted a field

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._without = 0
        self._splits: Counter[str] = Counter()
        self._values: dict[str, Counter[str]] = {}

    def add(self, one: Example) -> None:
        """Count one example."""
        self._lengths.append(len(text_of(one.input)))
        self._splits[one.split] += 1
        if one.expected is None:
            self._without += 1
            return
        expected = one.expected if is_object(one.expected) else {"expected": one.expected}
        for name, value in expected.items():
            counts = self._values.setdefault(str(name), Counter())
            shown = "null" if value is None else text_of(value)[:80]
            if shown in counts or len(counts) < self.MAX_VALUES:
                counts[shown] += 1

    def finish(self) -> Profile:
        """The profile of what was added. A field that an object lacks counts as null."""
        known = len(self._lengths) - self._without
        fields = tuple(_field(name, counts, known) for name, counts in self._values.items())
        return Profile(len(self._lengths), _length(self._lengths), self._without, dict(self._splits), fields)


def _field(name: str, counts: Counter[str], known: int) -> FieldProfile:
    nulls = (
        counts["null"] + max(known - sum(counts.values()), 0) if len(counts) < Profiler.MAX_VALUES else counts["null"]
    )
    return FieldProfile(name, nulls, len(counts), dict(counts.most_common(20)))


def _length(lengths: Sequence[int]) -> LengthProfile:
    if not lengths:
        return LengthProfile(0.0, 0, 0, 0, 0)
    least, median, p95, most = (int(point) for point in np.percentile(lengths, [0, 50, 95, 100]))
    return LengthProfile(float(np.mean(lengths)), least, median, p95, most)
