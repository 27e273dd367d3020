"""Reading what a model wrote: JSON where it is JSON, text where it is text."""

import re
from typing import NamedTuple

import msgspec

from rondel.datasets.models import is_list, is_object

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
MAX_ANSWER = 1_000_000  # characters that are read


class Read(NamedTuple):
    """`value` is the JSON value, or the text itself when it is not JSON."""

    value: object
    is_json: bool


def read(output: str) -> Read:
    """An answer as a value; a code fence around it is taken off, and `"label"` in quotes is the string label."""
    text = output[:MAX_ANSWER].strip()
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    try:
        return Read(msgspec.json.decode(text), is_json=True)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return Read(text, is_json=False)


def is_same(a: object, b: object) -> bool:
    """Equality of JSON values: 1 and 1.0 are the same, true and 1 are not; text without the space around it."""
    if isinstance(a, str) and isinstance(b, str):
        return a.strip() == b.strip()
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if is_object(a) and is_object(b):
        return a.keys() == b.keys() and all(is_same(value, b[name]) for name, value in a.items())
    if is_list(a) and is_list(b):
        return len(a) == len(b) and all(is_same(one, other) for one, other in zip(a, b, strict=True))
    return a == b


def matches(output: str, expected: object) -> bool:
    """Whether an answer is the expected value, read as text where that is text."""
    found = read(output)
    if isinstance(expected, str) and not isinstance(found.value, str):
        return output.strip() == expected.strip()
    return is_same(found.value, expected)
