"""Which texts are near each other, by the real embedder."""

import pytest

from rondel.errors import NotFound
from rondel.gateway.dataplane.cache.ports import NEARNESS, RING, Row
from rondel.gateway.nearness import ROWS_LIMIT, EmbeddedNearness, in_one_order

GROUP = b"g" * 16


@pytest.fixture(scope="module")
def known() -> EmbeddedNearness:
    return EmbeddedNearness()


def learn(nearness: EmbeddedNearness, group: bytes, *texts: str) -> None:
    """Texts whose keys are themselves."""
    rows = [Row(f"{at:08}".encode(), text.encode(), nearness.vector(text)) for at, text in enumerate(texts)]
    nearness.learn(group, rows)


def nearest(nearness: EmbeddedNearness, group: bytes, text: str, floor: float = 0.85) -> list[str]:
    """The texts that are near, the nearest first."""
    return [near.key.decode() for near in nearness.nearest(group, nearness.vector(text), floor)]


def test_it_is_installed_under_its_name() -> None:
    assert NEARNESS.get("embedded") is EmbeddedNearness
    with pytest.raises(NotFound, match="wordllama"):
        EmbeddedNearness(embedder="wordlama")


def test_the_nearest_come_first_and_none_below_the_floor(known: EmbeddedNearness) -> None:
    learn(known, GROUP, "Where is my card?", "How do I reset my PIN?", "Reset the PIN", "where is my card")
    assert nearest(known, GROUP, "Where is my card?") == ["Where is my card?", "where is my card"]
    assert nearest(known, GROUP, "Where is my card?", 1.0)[0] == "Where is my card?"
    assert nearest(known, GROUP, "Will it rain in the mountains?") == []
    assert nearest(known, b"h" * 16, "Where is my card?") == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Transfer money from Ann to Bob", "Transfer money from Bob to Ann"),
        ("How do I convert dollars to euros?", "How do I convert euros to dollars?"),
        ("Is Alice older than Bob?", "Is Bob older than Alice?"),
    ],
)
def test_the_same_words_in_another_order_are_another_question(known: EmbeddedNearness, one: str, other: str) -> None:
    learn(known, one.encode(), one)
    assert nearest(known, one.encode(), one, 0.99) == [one]
    assert nearest(known, one.encode(), other, 0.01) == []


def test_a_text_without_a_word_is_near_nothing(known: EmbeddedNearness) -> None:
    assert known.vector("") == b""
    assert known.vector("  ") == b""


def test_vectors_of_another_embedder_are_passed_over(known: EmbeddedNearness) -> None:
    foreign = b"12345678" + known.vector("a card")[8:]
    known.learn(b"f" * 16, [Row(b"1", b"k", foreign)])
    assert known.nearest(b"f" * 16, known.vector("a card"), 0.1) == []


def test_the_oldest_of_a_group_and_the_group_not_asked_for_longest_give_way() -> None:
    nearness = EmbeddedNearness()
    vector, other = nearness.vector("a card"), nearness.vector("the weather")
    nearness.learn(GROUP, [Row(b"00", b"first", other)])
    for at in range(RING):
        nearness.learn(GROUP, [Row(f"{at:08}".encode(), str(at).encode(), vector)])
    assert nearness.nearest(GROUP, other, 0.99) == []
    assert nearness.last(GROUP) == f"{RING - 1:08}".encode()
    for group in range(ROWS_LIMIT // RING):
        nearness.learn(f"{group:016}".encode(), [Row(b"1", b"k", vector)] * RING)
    assert nearness.last(GROUP) == b""


def test_words_that_stand_twice_say_nothing_of_the_order() -> None:
    assert in_one_order(b"aaaabbbbaaaa", b"bbbbaaaaaaaa")
    assert not in_one_order(b"aaaabbbb", b"bbbbaaaa")
    assert in_one_order(b"aaaaccccbbbb", b"aaaabbbbdddd")
    assert in_one_order(b"", b"aaaa")
