"""Names and references of model versions, and which version may follow which."""

import re
from collections.abc import Sequence

from rondel.errors import Conflict, Invalid
from rondel.registry.models import ModelDraft, ModelKind, ModelVersion

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def check_name(name: str) -> None:
    """Refuse what would read badly in a reference.

    Raises:
        Invalid: the name is empty, too long, or holds other characters.
    """
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is no model name: up to 63 lower-case letters, digits, '.', '_' and '-', beginning with a "
            "letter or digit, such as 'smollm2-support'."
        )


def parse_ref(ref: str) -> tuple[str, int | None]:
    """`smollm2@2` to name and number; without a number, the newest is meant.

    Raises:
        Invalid: what stands after the @ is no number.
    """
    name, at, number = ref.partition("@")
    if not at:
        return name, None
    if not number.isdecimal() or len(number) > 9:
        raise Invalid(f"{ref!r} is no model reference: write name@number, such as '{name or 'smollm2'}@1'.")
    return name, int(number)


def check_draft(draft: ModelDraft, parent: ModelVersion | None) -> None:
    """Refuse a version that contradicts its file or its parent.

    Raises:
        Invalid: the sentence says what does not go together.
    """
    check_name(draft.name)
    is_adapter = draft.kind is ModelKind.ADAPTER
    if is_adapter and parent is None:
        raise Invalid(f"Adapter {draft.name!r} needs a parent: the model version it was trained on.")
    if draft.kind is ModelKind.QUANTISED and parent is None:
        raise Invalid(f"Quantised model {draft.name!r} needs a parent: the model version it was made from.")
    if is_adapter != draft.contents.is_adapter:
        held = "LoRA weights" if draft.contents.is_adapter else "a whole model"
        raise Invalid(f"{draft.name!r} is to be registered as {draft.kind.value!r}, but its file holds {held}.")
    if parent is None:
        return
    if parent.kind is ModelKind.ADAPTER and is_adapter:
        raise Invalid(f"{parent.ref!r} is an adapter itself: an adapter's parent is a whole model.")
    ours, theirs = draft.contents.architecture, parent.contents.architecture
    if ours != theirs:
        raise Invalid(f"{draft.name!r} is a {ours!r} model and its parent {parent.ref!r} is {theirs!r}.")


def check_deletion(version: ModelVersion, children: Sequence[ModelVersion], uses: Sequence[str]) -> None:
    """Refuse to delete what something stands on. `uses` are sentences' ends: `deployment 'smollm2'`.

    Raises:
        Conflict: it is in use; the sentence says by what.
    """
    reasons = [*uses, *(f"model version {child.ref!r}" for child in children)]
    if reasons:
        raise Conflict(f"{version.ref!r} cannot be deleted: {' and '.join(reasons)} stand on it.")
