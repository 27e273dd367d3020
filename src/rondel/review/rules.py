"""Agreement, and which item comes next. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rondel.review.models import Agreement, Item, Label


def agreement(labels: Iterable[Label]) -> Agreement:
    """Agreement of all labels of a queue.

    Source: Krippendorff: Computing Krippendorff's Alpha-Reliability (2011), section C: nominal data, any number of
    observers, missing data.
    """
    by_item: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        by_item[label.item_id].append(label.choice)
    total = sum(len(choices) for choices in by_item.values())
    paired = [choices for choices in by_item.values() if len(choices) > 1]
    if not paired:
        return Agreement(len(by_item), total, None, None)
    n = sum(len(choices) for choices in paired)
    pairs = sum(len(choices) * (len(choices) - 1) for choices in paired)
    equal = sum(count * (count - 1) for choices in paired for count in Counter(choices).values())
    disagreement = sum(
        (len(choices) ** 2 - sum(count**2 for count in Counter(choices).values())) / (len(choices) - 1)
        for choices in paired
    )
    totals = Counter(choice for choices in paired for choice in choices)
    by_chance = n**2 - sum(count**2 for count in totals.values())
    alpha = 1.0 if by_chance == 0 else 1.0 - (n - 1) * disagreement / by_chance
    return Agreement(len(by_item), total, equal / pairs, alpha)


def next_item(
    items: Sequence[Item], labels: Mapping[str, Sequence[Label]], reviewer_id: str, labels_needed: int
) -> Item | None:
    """The oldest item that needs more labels and none of this reviewer's; those already begun come first."""
    left = [
        item
        for item in items
        if len(labels.get(item.id, ())) < labels_needed
        and all(label.reviewer_id != reviewer_id for label in labels.get(item.id, ()))
    ]
    return min(left, key=lambda item: (-len(labels.get(item.id, ())), item.added_at, item.id), default=None)
