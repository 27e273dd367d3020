"""Recipes and what may be learnt from."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from rondel.chat import Message
from rondel.datasets.models import Example, as_text, is_object
from rondel.errors import Forbidden, Invalid
from rondel.identity.models import Actor, ActorKind, Role
from rondel.plugins import with_options
from rondel.prompts.models import PromptDraft
from rondel.prompts.rules import render
from rondel.training import rules, shots
from rondel.training.models import Recipe
from rondel.training.trainers.command import CommandTrainer
from rondel.training.trainers.lora import LoraTrainer
from rondel.training.trainers.prompt_examples import PromptExamplesTrainer

RECIPE = Recipe("lora", "support", "messages@1", base_model="smollm2")


def actor(role: Role) -> Actor:
    """Somebody with a role."""
    return Actor("per_1", "Ada", ActorKind.PERSON, role, "prj")


def test_a_recipe_is_read_whole() -> None:
    document = {"trainer": "lora", "name": "support", "data": "messages@1", "options": {"rank": 8}, "seed": 3}
    assert rules.read_recipe(document) == Recipe("lora", "support", "messages@1", options={"rank": 8}, seed=3)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"trainr": "lora"}, "Did you mean 'trainer'"),
        ({"trainer": "lora", "name": "support"}, "missing required field `data`"),
        ({"trainer": "lora", "name": "support", "data": "m", "seed": "one"}, "seed"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(document: Mapping[str, object], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        rules.read_recipe(document)


def test_options_are_the_fields_of_the_trainer() -> None:
    assert with_options(LoraTrainer, {"rank": 4}, called="trainer 'lora'") == LoraTrainer(rank=4)
    assert with_options(PromptExamplesTrainer, {"sizes": [4, 8]}, called="it") == PromptExamplesTrainer((4, 8))
    with pytest.raises(Invalid, match=r"Trainer 'lora' has no option 'learning_rat'. Did you mean 'learning_rate'"):
        with_options(LoraTrainer, {"learning_rat": 0.1}, called="trainer 'lora'")
    with pytest.raises(Invalid, match=r"An option of trainer 'lora' is not right: .* It takes: epochs, "):
        with_options(LoraTrainer, {"rank": "many"}, called="trainer 'lora'")


def test_nothing_learns_from_the_test_split() -> None:
    with pytest.raises(Invalid, match="nothing may learn from it"):
        rules.check_recipe(Recipe("lora", "s", "m@1", split="test", base_model="b"), LoraTrainer(), actor(Role.ADMIN))


@pytest.mark.parametrize("role", list(Role))
def test_only_an_admin_runs_commands_on_the_machine(role: Role) -> None:
    recipe = Recipe("command", "s", "m@1")
    if role is Role.ADMIN:
        rules.check_recipe(recipe, CommandTrainer(("true",)), actor(role))
    else:
        with pytest.raises(Forbidden):
            rules.check_recipe(recipe, CommandTrainer(("true",)), actor(role))


def test_a_trainer_says_what_the_recipe_lacks() -> None:
    with pytest.raises(Invalid, match="base_model"):
        rules.check_recipe(Recipe("lora", "s", "m@1"), LoraTrainer(), actor(Role.ADMIN))
    with pytest.raises(Invalid, match="target"):
        rules.check_recipe(Recipe("prompt_examples", "s", "m@1"), PromptExamplesTrainer(), actor(Role.ADMIN))


def test_empty_inputs_and_too_few_examples_are_refused_before_anything_starts() -> None:
    with pytest.raises(Invalid, match="at least 2"):
        rules.check_examples([Example("ex_1", "a", "b")], RECIPE)
    with pytest.raises(Invalid, match="ex_2"):
        rules.check_examples([Example("ex_1", "a", "b"), Example("ex_2", " ", "b")], RECIPE)


def test_answers_are_written_in_as_few_tokens_as_json_allows() -> None:
    assert as_text({"a": 1, "b": None}) == '{"a":1,"b":null}'
    assert as_text("label") == "label"


BASE = PromptDraft((Message("system", "Fields as JSON."), Message("user", "{{ input }}")), {"temperature": 0})


def example(number: int, also: str | None = None) -> Example:
    """A message with an answer of two fields."""
    return Example(f"ex_{number}", f"message {number} {'x' * number}", {"intent": f"i{number % 3}", "also": also})


POOL = [example(number, "refund" if number % 4 == 0 else None) for number in range(40)]


def test_what_is_asked_about_is_never_shown() -> None:
    held, pool = shots.hold_out(POOL, 10, seed=1)
    assert len(held) == 10
    assert {each.id for each in held} | {each.id for each in pool} == {each.id for each in POOL}
    asked = {each.id for each in held}
    for candidate in shots.candidates(BASE, pool, (4, 8), seed=1):
        assert not asked & {each.id for each in candidate.examples}


def test_the_same_seed_gives_the_same_candidates() -> None:
    assert shots.candidates(BASE, POOL, (4, 8), seed=2) == shots.candidates(BASE, POOL, (4, 8), seed=2)


def test_typical_examples_have_their_usual_nulls() -> None:
    assert shots.rare_fields([each.expected for each in POOL]) == ["also"]
    assert all(
        each.expected == {"intent": f"i{int(each.id[3:]) % 3}", "also": None} for each in shots.typical_only(POOL)
    )


def test_typical_answers_come_last() -> None:
    shown = shots.ordered(POOL[:9], "typical last")
    has_also = [is_object(each.expected) and each.expected["also"] is not None for each in shown]
    assert has_also == sorted(has_also, reverse=True)


def test_examples_become_turns_and_braces_in_them_stay_braces() -> None:
    tricky = Example("ex_1", "a {{ input }} and {% if x %}", {"b": "{{ c }}"})
    prompt = shots.with_examples(BASE, [tricky])
    said = render(prompt.messages, {"input": "hello"})
    assert [(message.role, message.content) for message in said] == [
        ("system", "Fields as JSON."),
        ("user", "a {{ input }} and {% if x %}"),
        ("assistant", '{"b":"{{ c }}"}'),
        ("user", "hello"),
    ]
    assert prompt.parameters == BASE.parameters


def test_answers_are_shown_in_the_order_in_which_the_schema_makes_the_model_write_them() -> None:
    line = {"type": "object", "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}}}
    schema = {
        "type": "object",
        "properties": {
            "intent": {"type": "string"},
            "about": {"anyOf": [line, {"type": "null"}]},
            "lines": {"type": "array", "items": line},
        },
    }
    answer = {"about": {"count": 1, "sku": "a"}, "intent": "refund", "lines": [{"count": 2, "sku": "b"}], "more": None}
    assert shots.written(answer, schema) == (
        '{"intent":"refund","about":{"sku":"a","count":1},"lines":[{"sku":"b","count":2}],"more":null}'
    )
    assert shots.written({"about": None, "intent": "refund"}, schema) == '{"intent":"refund","about":null}'
    assert shots.written("refund", {"type": "string", "enum": ["refund"]}) == '"refund"'
    prompt = shots.with_examples(replace(BASE, response_schema=schema), [Example("ex_1", "hi", answer)])
    assert prompt.messages[2].content.startswith('{"intent":"refund","about":{"sku"')


def test_older_examples_in_the_base_prompt_are_replaced() -> None:
    once = shots.with_examples(BASE, POOL[:2])
    assert shots.with_examples(once, POOL[2:4]) == shots.with_examples(BASE, POOL[2:4])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 13])
@pytest.mark.parametrize("budget", [1, 8, 20, 100, 500])
@pytest.mark.parametrize("questions", [1, 10, 40])
def test_halving_stays_in_its_budget_and_asks_the_best_most(count: int, budget: int, questions: int) -> None:
    rounds = shots.halving(count, questions, budget)
    spent, before = 0, 0
    for left, asked in rounds:
        assert before < asked <= questions
        spent += left * (asked - before)
        before = asked
    assert spent <= budget
    assert [left for left, _ in rounds] == sorted((left for left, _ in rounds), reverse=True)
    if budget >= count:
        assert rounds[0][0] == count


def labelled(count: int) -> list[Example]:
    return [Example(f"ex_{n}", f"question number {n}", f"label {n % 4}") for n in range(count)]


def test_where_answers_are_labels_each_is_shown_once_and_as_the_schema_makes_the_model_write_it() -> None:
    pool = labelled(24)
    schema = {"type": "string", "enum": [f"label {n}" for n in range(4)]}
    base = PromptDraft((Message("user", "{{ input }}"),), {}, schema)
    assert shots.natural_sizes(pool) == (4,)
    found = shots.candidates(base, pool, shots.natural_sizes(pool), seed=0)
    assert len(found) == 4
    for candidate in found:
        assert {example.expected for example in candidate.examples} == {f"label {n}" for n in range(4)}
        answers = [message.content for message in candidate.prompt.messages if message.role == "assistant"]
        assert answers == [f'"{example.expected}"' for example in candidate.examples]
    assert len({example.id for candidate in found for example in candidate.examples}) == 8  # two choices


def test_free_texts_and_many_labels_are_shown_by_a_few_examples() -> None:
    free = [Example(f"ex_{n}", f"question {n}", f"an answer of its own, number {n}") for n in range(40)]
    many = [Example(f"ex_{n}", f"question {n}", f"label {n % 20}") for n in range(200)]
    assert shots.natural_sizes(free) == shots.natural_sizes(many) == (4,)
