"""Agreement, and who looks at what."""

from datetime import UTC, datetime, timedelta

import pytest

from rondel.review.models import Item, Label
from rondel.review.rules import agreement, next_item

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def label(item: int, who: str, choice: str) -> Label:
    return Label(f"i{item}", who, who, choice, NOW)


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    """Nominal data with missing values, four observers, twelve units: alpha 0.743 (section C of the source)."""
    table = {
        "A": "1 2 3 3 2 1 4 1 2 . . .",
        "B": "1 2 3 3 2 2 4 1 2 5 . 3",
        "C": ". 3 3 3 2 3 4 2 2 5 1 .",
        "D": "1 2 3 3 2 4 4 1 2 5 1 .",
    }
    labels = [
        label(item, who, choice)
        for who, row in table.items()
        for item, choice in enumerate(row.split())
        if choice != "."
    ]
    assert agreement(labels).alpha == pytest.approx(0.743, abs=0.0005)


def test_agreement_is_unknown_until_two_people_saw_one_item() -> None:
    told = agreement([label(1, "ada", "good"), label(2, "bob", "bad")])
    assert (told.items, told.labels, told.share, told.alpha) == (2, 2, None, None)
    assert told.sentence == "2 labels on 2 items, none of them by two people yet"
    assert agreement([label(1, "ada", "good")]).sentence.startswith("1 label on 1 item,")


def test_all_alike_is_perfect_and_opposite_is_below_chance() -> None:
    assert agreement([label(1, who, "good") for who in "ab"]).alpha == 1.0
    opposite = [label(item, who, "good" if (item + (who == "a")) % 2 else "bad") for item in range(6) for who in "ab"]
    told = agreement(opposite)
    assert told.share == 0
    assert told.alpha is not None
    assert told.alpha < 0


def test_nobody_sees_an_item_twice_and_begun_ones_come_first() -> None:
    items = [Item(f"i{n}", "q", f"t{n}", "", "", "", NOW + timedelta(seconds=n)) for n in range(3)]
    labels = {"i1": [label(1, "bob", "good")], "i2": [label(2, "ada", "bad")]}
    chosen = next_item(items, labels, "ada", 2)
    assert chosen is not None
    assert chosen.id == "i1"
    everything = {item.id: [label(n, "ada", "good")] for n, item in enumerate(items)}
    assert next_item(items, everything, "ada", 2) is None
    assert next_item(items, everything, "bob", 1) is None
