"""Examples: their ids, splits, near-duplicates, schema and choice."""

import json
import random

import jsonschema
import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.datasets.models import Example, Row, is_list, is_object
from rondel.datasets.near import shingles
from rondel.datasets.rules import (
    Profiler,
    check_shares,
    choose_examples,
    enumerated_fields,
    example,
    leaks,
    row_from,
    schema_from_examples,
    similarity,
    split_of,
)
from rondel.errors import Invalid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, width=32) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def made(input_: object, expected: object = None, split: str = "") -> Example:
    return example(Row(1, input_, expected, {}, split))


def test_an_id_is_made_of_input_and_expected_alone() -> None:
    one = example(Row(1, {"a": 1, "b": 2}, "x", {"m": 1}, "train", "t1"))
    assert one.id == example(Row(9, {"b": 2, "a": 1}, "x")).id
    assert one.id != example(Row(1, {"a": 1, "b": 2}, "y")).id


@given(st.text(alphabet="abcXYZ 012,.!", min_size=1, max_size=60).filter(lambda text: text.strip(" ,.!") != ""))
def test_an_input_keeps_its_split_whatever_its_case_and_spaces(text: str) -> None:
    shares = {"train": 0.7, "test": 0.3}
    assert split_of(text, shares) == split_of(f"  {text.upper()}! ", shares)
    assert split_of(text, shares) == split_of(text, {"train": 0.7, "other": 0.3}).replace("other", "test")


def test_splits_have_their_shares() -> None:
    splits = [split_of(f"message {i}", {"train": 0.6, "validation": 0.1, "test": 0.3}) for i in range(5000)]
    for name, share in (("train", 0.6), ("validation", 0.1), ("test", 0.3)):
        assert splits.count(name) / 5000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"": 1.0}])
def test_shares_that_make_no_whole_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        check_shares(shares)


def words(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices("abcdefghijklmnop", k=5)) for _ in range(count)]


def test_every_near_duplicate_between_splits_is_found_and_nothing_else() -> None:
    chance = random.Random(3)
    vocabulary = words(2000, 1)
    texts = [" ".join(chance.choices(vocabulary, k=30)) for _ in range(400)]
    near = [f"{text} {word}" for text, word in zip(texts[:60], words(60, 2), strict=True)]
    far = [" ".join(text.split()[:18] + chance.choices(vocabulary, k=12)) for text in texts[60:120]]
    everything = texts + near + far
    splits = ["train"] * 400 + ["test"] * 120
    found = leaks([str(i) for i in range(520)], splits, everything.__getitem__, threshold=0.8)
    assert {(leak.a, leak.b) for leak in found} == {(str(i), str(400 + i)) for i in range(60)}
    assert all(leak.similarity >= 0.8 and (leak.a_split, leak.b_split) == ("train", "test") for leak in found)
    assert leaks(["a", "b"], ["train", "train"], lambda _: "the same text") == []


def test_the_similarity_agrees_with_datasketch() -> None:
    a = "where is my tent it was to arrive on tuesday and it is friday now"
    b = "where is my tent it was to arrive on monday and it is friday now please"
    hashes: list[MinHash] = []
    for text in (a, b):
        one = MinHash(num_perm=1024, seed=1)
        for piece in shingles(text):
            one.update(str(piece).encode())
        hashes.append(one)
    assert similarity(a, b) == pytest.approx(hashes[0].jaccard(hashes[1]), abs=0.05)
    assert similarity("A tent!", "a  TENT") == 1.0
    assert similarity("", "") == 1.0


def test_few_repeated_strings_become_an_enumeration_with_null() -> None:
    expected = [
        {"intent": ["buy", "sell"][i % 2], "also": ["buy", None][i % 2], "order": f"MO{i}", "price": i * 0.5, "n": i}
        for i in range(12)
    ]
    schema = schema_from_examples(expected)
    assert enumerated_fields(schema) == {"intent": ("buy", "sell"), "also": ("buy", None)}
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert properties["order"] == {"type": "string"}
    assert properties["price"] == {"type": "number"}
    assert properties["n"] == {"type": "integer"}
    assert schema_from_examples(["a", "b", None] * 3) == {"type": "string", "enum": ["a", "b"]}
    assert schema_from_examples([]) == {}


def without_required(schema: object) -> object:
    """A key that is missing counts as null, which JSON schema has no word for."""
    if is_object(schema):
        return {name: without_required(part) for name, part in schema.items() if name != "required"}
    return [without_required(part) for part in schema] if is_list(schema) else schema


@settings(max_examples=100)
@given(st.lists(JSON, max_size=8))
def test_every_example_is_valid_under_the_schema_made_from_it(values: list[object]) -> None:
    schema = schema_from_examples(values)
    jsonschema.Draft202012Validator.check_schema(schema)
    relaxed = without_required(schema)
    assert is_object(relaxed)
    for value in values:
        if value is not None:
            jsonschema.validate(value, relaxed)


def test_missing_keys_may_be_null() -> None:
    schema = schema_from_examples([{"a": "x y", "b": {"c": [1, "z", None]}}, {"a": "w"}])
    jsonschema.validate({"a": "x", "b": None}, schema)
    jsonschema.validate({"a": "x", "b": {"c": ["q", 3, None]}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"a": 1, "b": None}, schema)


def train(count: int) -> list[Example]:
    intents, products = ("buy", "sell", "ask"), ("tent", "lamp", None)
    return [
        made(f"message {word} {i}", {"intent": intents[i % 3], "product": products[i * 7 % 3 - 1], "order": None})
        for i, word in enumerate(words(count, 5))
    ]


def test_the_chosen_examples_cover_labels_and_nulls_and_repeat_exactly() -> None:
    chosen = choose_examples(train(60), 4, seed=1)
    assert len({one.id for one in chosen}) == 4
    values = [one.expected for one in chosen]
    assert {value["intent"] for value in values if isinstance(value, dict)} == {"buy", "sell", "ask"}
    assert {value["product"] for value in values if isinstance(value, dict)} == {"tent", "lamp", None}
    assert chosen == choose_examples(train(60), 4, seed=1)
    assert choose_examples([made("a")], 4) == ()
    assert len(choose_examples(train(3), 10)) == 3


def test_with_embeddings_unlike_examples_are_chosen() -> None:
    examples = [made(f"m{i}", f"free answer number {i}") for i in range(6)]
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 1, 2]]
    chosen = choose_examples(examples, 3, embeddings=vectors)
    assert {int(one.input[1:]) // 3 + (one.input == "m5") for one in chosen if isinstance(one.input, str)} == {0, 1, 2}


def test_a_chat_line_becomes_input_and_expected() -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert row_from(1, {"messages": turns}) == Row(1, {"messages": turns[:1]}, "hello", {})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"question": "x"}, "line 4 has no 'input' (it has 'question')"),
        ({"input": "x", "expcted": 1}, "did you mean 'expected'?"),
        ({"input": ""}, "empty 'input'"),
        ({"input": "x", "split": 3}, "'split' and 'trace_id' are text"),
        ({"input": "x", "metadata": []}, "'metadata' is not an object"),
        ({"messages": "x"}, "'messages' is not a list"),
        ({"messages": [{"content": "x"}]}, "no 'role'"),
    ],
)
def test_a_row_that_is_no_example_is_told_in_one_sentence(values: dict[str, object], says: str) -> None:
    with pytest.raises(Invalid) as caught:
        row_from(4, values)
    assert says in caught.value.message


def test_a_profile_counts_lengths_nulls_and_labels() -> None:
    profiler = Profiler()
    for one in (made("abcd", {"x": "a", "y": None}), made("ab", {"x": "a"}), made("a")):
        profiler.add(one)
    profile = profiler.finish()
    assert (profile.size, profile.without_expected) == (3, 1)
    assert (profile.input_length.least, profile.input_length.most) == (1, 4)
    by_name = {field.name: field for field in profile.fields}
    assert by_name["x"].values == {"a": 2}
    assert by_name["y"].nulls == 2
    assert json.dumps([field.values for field in profile.fields])
