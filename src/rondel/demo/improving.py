"""From traces to a better candidate: data, evaluations, a prompt with examples, a fine-tune, a paired comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from rondel.demo.house import DATA, EVALUATOR, MODEL, PROMPT, ROUTE, House, interval, signed
from rondel.demo.releasing import PLAN
from rondel.demo.task import TEST_SHARE

QUESTIONS = 80
"""What is spent on choosing examples for the prompt."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A draft of a release, and its evaluation."""

    name: str
    evaluation: str
    value: float
    is_trained: bool


def keep_data(house: House, *, has_more: bool) -> str:
    """A dataset version from the traffic's traces, split by hash; the version's reference."""
    why = f"The scored traces become a dataset; {TEST_SHARE:.0%}, by hash, are held back and never learnt from."
    with house.report.stage("dataset", why) as stage:
        kept = house.api.post("/api/v1/dataset-traces", {"name": DATA, "route": ROUTE})
        shares = {"train": 1 - TEST_SHARE, "test": TEST_SHARE}
        version = house.api.post("/api/v1/dataset-splits", {"ref": kept["ref"], "shares": shares, "move_leaks": True})
        if has_more:
            version = _with_more(house, version["ref"])
        leaks = house.api.get(f"/api/v1/dataset-leaks/{version['ref']}")["leaks"]
        splits = ", ".join(f"{size} {name}" for name, size in sorted(version["splits"].items()))
        stage.verdict, stage.figure = f"{version['ref']}: {splits}", f"{len(leaks)} leaks"
    return str(version["ref"])


def _with_more(house: House, ref: str) -> Mapping[str, Any]:
    """The same version with the messages that only a fine-tune learns from."""
    kept = [msgspec.json.decode(line) for line in house.api.lines(f"/api/v1/dataset-export/{ref}")]
    fields = ("input", "expected", "metadata", "split", "trace_id")
    rows = [{name: row[name] for name in fields if row.get(name) is not None} for row in kept]
    rows += [{"input": row.input, "expected": row.expected, "split": "train"} for row in house.task.more]
    version: Mapping[str, Any] = house.api.post("/api/v1/datasets", {"name": DATA, "rows": rows})
    return version


def evaluate_base(house: House, release: str, data: str) -> dict[str, Any]:
    """The first release on the test split."""
    size = house.api.get(f"/api/v1/datasets/{data}")["splits"].get("test", 0)
    plan = house.api.get("/api/v1/evaluation-plan", n=size, sd=0.3)
    with house.report.stage("evaluate", f"What is live, on {size} held-back examples: {plan['sentence']}") as stage:
        found = house.evaluate(release, data, "base", recorded=True)
        house.report.say(found["message"])
        stage.verdict, stage.figure = "measured", f"{EVALUATOR} {interval(found['metrics'][found['primary']])}"
    return found


def evaluate_plainly(house: House, data: str) -> None:
    """What needs no language model at all, for honesty."""
    why = "TF-IDF and a linear model (commonest value where a field is open) on the same split: what is it worth?"
    with house.report.stage("plain baseline", why) as stage:
        found = house.evaluate("baseline:tfidf_linear", data, "plain baseline")
        stage.verdict, stage.figure = "measured", f"{EVALUATOR} {interval(found['metrics'][found['primary']])}"


def choose_examples(house: House, data: str) -> str:
    """A prompt version with examples of the train split, as a draft release; its name."""
    why = f"Train examples for the prompt: several choices are tried with {QUESTIONS} questions, the best stays."
    with house.report.stage("prompt candidate", why) as stage:
        recipe = {
            "trainer": "prompt_examples",
            "name": PROMPT,
            "data": data,
            "base_prompt": f"{PROMPT}@1",
            "target": f"local/{MODEL}",
            "options": {"budget": QUESTIONS},
        }
        made = house.train(recipe)
        prompt = made["prompts"][0]["ref"]
        draft = {"name": "examples", "route": ROUTE, "model": f"local/{MODEL}", "prompt": prompt, "run": made["run_id"]}
        house.api.post("/api/v1/releases", draft | {"rollout": PLAN, "note": "Examples in the prompt."})
        stage.verdict = f"prompt {prompt}"
        stage.figure = f"{made['metrics']['validation_score']:.3f} on held-back train examples"
    return "examples"


def fine_tune(house: House, data: str) -> str:
    """A LoRA adapter from the train split, served beside the model, as a draft release; its name."""
    size = house.api.get(f"/api/v1/datasets/{data}")["splits"]["train"]
    with house.report.stage("fine-tune", f"A LoRA adapter from {size} train examples, one epoch on the CPU.") as stage:
        recipe = {"trainer": "lora", "name": "demo-lora", "data": data, "base_model": MODEL}
        made = house.train(recipe)
        adapter, prompt = made["models"][0]["ref"], made["prompts"][0]["ref"]
        house.api.post(f"/api/v1/deployments/{MODEL}/adapters", {"adapter": adapter, "called": "demo-lora"})
        house.wait_for_model()
        draft = {"name": "lora", "route": ROUTE, "model": f"local/{MODEL}", "adapter": adapter, "prompt": prompt}
        house.api.post("/api/v1/releases", draft | {"run": made["run_id"], "rollout": PLAN, "note": "Fine-tuned."})
        stage.verdict, stage.figure = f"adapter {adapter}", f"{len(made['metrics'])} metrics in run {made['run_id']}"
    return "lora"


def evaluate_candidate(house: House, name: str, data: str) -> Candidate:
    """A draft on the same examples; it is asked by its id, since no route names it yet."""
    release = house.api.get(f"/api/v1/releases/{name}")
    size = house.api.get(f"/api/v1/datasets/{data}")["splits"].get("test", 0)
    with house.report.stage(f"evaluate {name}", f"The draft on the same {size} examples.") as stage:
        house.wait_for_model()
        found = house.evaluate(release["id"], data, name)
        metric = found["metrics"][found["primary"]]
        stage.verdict, stage.figure = "measured", f"{EVALUATOR} {interval(metric)}"
    return Candidate(name, found["id"], metric["value"], is_trained=name == "lora")


def compare(house: House, candidate: Candidate, base: Mapping[str, Any]) -> dict[str, Any]:
    """The candidate against what is live, paired by example, kept as evidence for the gate."""
    with house.report.stage("compare", "Candidate against what is live, example by example.") as stage:
        against = {"evaluation": candidate.evaluation, "against": base["id"]}
        kept = house.api.post(f"/api/v1/releases/{candidate.name}/evaluation", against)
        difference: dict[str, Any] = next(one for one in kept if one["name"] == "quality.difference")
        for one in kept:
            house.report.say(one["statement"])
        stage.verdict = "better" if difference["low"] > 0 else "not shown to be better"
        stage.figure = signed(difference)
    return difference
