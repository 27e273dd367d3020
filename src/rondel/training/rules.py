"""What a recipe may say, and how examples become what is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import msgspec

from rondel.datasets.models import Example, as_text, is_object
from rondel.datasets.rules import schema_from_examples
from rondel.errors import Forbidden, Invalid, did_you_mean
from rondel.identity.models import Actor, Role
from rondel.training.models import Recipe
from rondel.training.ports import BASE_MODEL, COMMANDS, TARGET, Trainer

FEWEST = 2
KNOWN = tuple(field.name for field in fields(Recipe))


def read_recipe(document: Mapping[str, object]) -> Recipe:
    """A recipe from YAML or JSON.

    Raises:
        Invalid: a name that no recipe has, one that is missing, or a value of the wrong type.
    """
    for name in document:
        if name not in KNOWN:
            raise Invalid(f"A recipe has no {name!r}. {did_you_mean(str(name), KNOWN)}")
    try:
        return msgspec.convert(dict(document), Recipe)
    except msgspec.ValidationError as error:
        raise Invalid(f"The recipe is not right: {error}.") from error


def check_recipe(recipe: Recipe, trainer: Trainer, actor: Actor) -> None:
    """Refuse what cannot run, or may not be run by `actor`."""
    if BASE_MODEL in trainer.capabilities and recipe.base_model is None:
        raise Invalid(f"Trainer {recipe.trainer!r} starts from a model: name one as 'base_model'.")
    if TARGET in trainer.capabilities and recipe.target is None:
        raise Invalid(f"Trainer {recipe.trainer!r} tries prompts out: name a model or route as 'target'.")
    if COMMANDS in trainer.capabilities and actor.role is not Role.ADMIN:
        raise Forbidden(f"Trainer {recipe.trainer!r} runs commands on this machine: only an admin may start it.")
    if recipe.split == "test":
        raise Invalid("The split 'test' is what candidates are held against: nothing may learn from it.")


def check_examples(examples: Sequence[Example], recipe: Recipe) -> None:
    """Refuse data that nothing can be learnt from."""
    if len(examples) < FEWEST:
        raise Invalid(
            f"Split {recipe.split!r} of {recipe.data!r} has {len(examples)} examples with a known answer; "
            f"at least {FEWEST} are needed."
        )
    empty = [example.id for example in examples if not as_text(example.input).strip()]
    if empty:
        raise Invalid(f"{len(empty)} examples have an empty input, the first is {empty[0]!r}.")


def answer_schema(examples: Sequence[Example]) -> Mapping[str, object] | None:
    """The JSON schema that the known answers share, when they are objects or labels; else None."""
    schema = schema_from_examples(example.expected for example in examples)
    return schema if schema.get("type") == "object" else None


def answer_tokens(examples: Sequence[Example]) -> int:
    """A bound on the tokens of an answer: as many as the longest known one has bytes, halved, and some room."""
    longest = max(len(as_text(example.expected).encode()) for example in examples)
    return min(4096, longest // 2 + 32)


def nulls(value: object) -> int:
    """How many fields of an answer are null."""
    return sum(part is None for part in value.values()) if is_object(value) else 0


def as_json(value: Any) -> Any:
    """Plain JSON values of a model, for a job's result."""
    return msgspec.to_builtins(value, enc_hook=str)
