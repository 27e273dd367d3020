"""Prompts with examples: which to show, how many, in what order; and how to find out with few questions.

All pure. Measured with a 135M model on five-field extraction: examples as chat turns work, in one message they do not;
the last examples are copied most, so an order that ends on typical answers is worth 20 points over one that does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

from rondel.chat import Message
from rondel.datasets.models import Example, is_object
from rondel.datasets.rules import choose_examples
from rondel.errors import Invalid
from rondel.prompts.models import PromptDraft
from rondel.prompts.rules import escape
from rondel.training.rules import nulls, text

TYPICAL_SHARE = 0.6  # a field that is null in this share of the answers is typically null
LONGEST_SHARE = 0.5  # of the inputs, by length, the share that examples are taken from


class Variant(NamedTuple):
    """A way to choose and order: `size` examples, typical ones only or any, ordered `order`."""

    size: int
    is_typical: bool
    order: str

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.size} {'typical' if self.is_typical else 'varied'} examples, {self.order}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant with its examples and the prompt that shows them."""

    variant: Variant
    examples: tuple[Example, ...]
    prompt: PromptDraft


def hold_out(examples: Sequence[Example], size: int, *, seed: int) -> tuple[list[Example], list[Example]]:
    """(validation, pool): `size` examples by hash and seed, and the others. Nothing is shown that is asked about."""

    def key(example: Example) -> bytes:
        return sha256(f"{seed}:{example.id}".encode()).digest()

    ordered = sorted(examples, key=key)
    size = min(size, len(ordered) // 2)
    return ordered[:size], ordered[size:]


def variants(sizes: Sequence[int]) -> list[Variant]:
    """All ways that are tried, the most promising first."""
    ways = ((True, "typical last"), (False, "typical last"), (True, "as chosen"), (False, "as chosen"))
    return [Variant(size, is_typical, order) for is_typical, order in ways for size in sizes]


def candidates(base: PromptDraft, pool: Sequence[Example], sizes: Sequence[int], *, seed: int) -> list[Candidate]:
    """A prompt for each way, without those that come out equal."""
    short = shorter_half(pool)
    typical = typical_only(short)
    found: dict[tuple[str, ...], Candidate] = {}
    for variant in variants(sizes):
        chosen = choose_examples(typical if variant.is_typical else short, variant.size, seed=seed)
        shown = ordered(chosen, variant.order)
        key = tuple(example.id for example in shown)
        if shown and key not in found:
            found[key] = Candidate(variant, shown, with_examples(base, shown))
    return list(found.values())


def shorter_half(pool: Sequence[Example]) -> list[Example]:
    """The shorter inputs: they cost fewest tokens and show the answer as well."""
    by_length = sorted(pool, key=lambda example: (len(text(example.input)), example.id))
    return by_length[: max(2, round(len(by_length) * LONGEST_SHARE))]


def typical_only(pool: Sequence[Example]) -> list[Example]:
    """Examples whose typically-null fields are null (all examples, when answers are no objects or that leaves few)."""
    rare = rare_fields([example.expected for example in pool])
    kept = [
        example
        for example in pool
        if not is_object(example.expected) or all(example.expected.get(name) is None for name in rare)
    ]
    return kept if len(kept) >= 2 else list(pool)


def rare_fields(answers: Sequence[object]) -> list[str]:
    """Fields that are null in at least TYPICAL_SHARE of the answers."""
    objects = [answer for answer in answers if is_object(answer)]
    names = dict.fromkeys(name for answer in objects for name in answer)
    return [
        name for name in names if sum(answer.get(name) is None for answer in objects) >= TYPICAL_SHARE * len(objects)
    ]


def ordered(examples: Sequence[Example], order: str) -> tuple[Example, ...]:
    """Typical answers (many nulls) last, or as they were chosen."""
    if order != "typical last":
        return tuple(examples)
    rare = rare_fields([example.expected for example in examples])

    def key(example: Example) -> tuple[int, int]:
        answer: Mapping[str, object] = example.expected if is_object(example.expected) else {}
        return (-sum(answer.get(name) is not None for name in rare), nulls(answer))

    return tuple(sorted(examples, key=key))


def with_examples(base: PromptDraft, examples: Sequence[Example]) -> PromptDraft:
    """The prompt with each example as a turn of user and assistant, before the turn that holds the input.

    Raises:
        Invalid: the base prompt has no user message to put them before.
    """
    last = max((at for at, message in enumerate(base.messages) if message.role == "user"), default=-1)
    if last < 0:
        raise Invalid("The base prompt has no user message: examples are put before the one that holds the input.")
    asked = base.messages[last]
    shots: list[Message] = []
    for example in examples:
        given = escape(text(example.input))
        shots.append(replace(asked, content=asked.content.replace("{{ input }}", given)))
        shots.append(Message("assistant", escape(text(example.expected))))
    kept = [message for message in base.messages[:last] if message.role in {"system", "developer"}]
    return replace(base, messages=(*kept, *shots, *base.messages[last:]))


def halving(count: int, questions: int, budget: int) -> list[tuple[int, int]]:
    """Rounds of successive halving as (candidates kept, questions asked of each so far).

    Each round asks the candidates that are left twice as many questions and keeps the better half, within `budget`
    questions altogether and `questions` that there are. Source: Jamieson and Talwalkar 2016, arXiv:1502.07943.
    """
    if count < 1 or questions < 1 or budget < count:
        return []
    rounds: list[tuple[int, int]] = []
    levels = max(1, (count - 1).bit_length())
    asked = 0
    left, spent = count, 0
    for level in range(levels):
        share = max(1, (budget - spent) // ((levels - level) * left))
        more = min(share, questions - asked)
        if more < 1 or spent + more * left > budget:
            break
        asked, spent = asked + more, spent + more * left
        rounds.append((left, asked))
        left = max(1, (left + 1) // 2)
    return rounds
