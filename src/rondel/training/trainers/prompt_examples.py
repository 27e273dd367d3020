"""`prompt_examples`: a prompt that shows examples of the train split, chosen by trying them out. No torch."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from rondel.chat import ChatModel, ChatRequest, Message, in_the_form_of
from rondel.datasets.models import Example, as_text, is_object
from rondel.errors import Invalid, RondelError
from rondel.evaluation.models import Case
from rondel.evaluation.ports import EVALUATORS, Evaluator
from rondel.evaluation.ports import Means as Grading
from rondel.prompts.models import PromptDraft
from rondel.prompts.rules import render
from rondel.training import shots
from rondel.training.ports import TARGET, File, Made, Means, Trainer, Watcher, Work
from rondel.training.rules import answer_schema, answer_tokens

MAX_FAILURES = 0.2  # share of questions without an answer above which nothing can be said


@dataclass(frozen=True, slots=True)
class PromptExamplesTrainer(Trainer):
    """Tries sizes, choices and orders of examples on a slice of the train split, and keeps the best.

    `budget` is the number of questions asked altogether; with 0 nothing is asked and the most promising way is taken.
    `validation` examples of the train split are asked about and never shown. The test split is not read. Without
    `sizes` one example of each label is shown where answers are labels, else four.
    """

    sizes: tuple[int, ...] = ()
    budget: int = 100
    validation: int = 40
    evaluator: str = ""
    parallel: int = 4
    deadline_s: float = 120.0
    system: str = "Extract the fields as JSON."

    capabilities: ClassVar[frozenset[str]] = frozenset({TARGET})

    def check(self, work: Work) -> None:
        """Enough examples for what is to be shown and asked."""
        if min(self.sizes, default=1) < 1 or self.budget < 0 or self.validation < 1 or self.parallel < 1:
            raise Invalid("Options 'sizes', 'validation' and 'parallel' of trainer 'prompt_examples' start at 1.")
        least = min(self.sizes or shots.natural_sizes(work.examples))
        if len(work.examples) < 2 * least:
            raise Invalid(
                f"{len(work.examples)} examples are too few to show {least} and hold others back: "
                f"at least {2 * least} are needed."
            )

    def train(self, work: Work, means: Means, watcher: Watcher) -> Made:
        """The prompt version that scored best, and what every other scored."""
        base = work.base_prompt or self._first_prompt(work)
        held, pool = shots.hold_out(work.examples, self.validation if self.budget else 0, seed=work.seed)
        found = shots.candidates(base, pool, self.sizes or shots.natural_sizes(pool), seed=work.seed)
        if not self.budget:
            return self._made(found[0], work, {"examples": float(len(found[0].examples))}, [])
        trial = _Trial(self, means.asked(), work, watcher, held)
        plan = shots.halving(len(found), len(held), self.budget)
        total = sum(left * (asked - before) for (left, asked), before in zip(plan, _before(plan), strict=True))
        watcher.log(f"{len(found)} ways to show examples, {total} questions about {len(held)} held-back examples.")
        for left, asked in plan:
            found = trial.best(found)[:left]
            for candidate in found:
                trial.ask(candidate, asked, total)
        ranking = trial.best(found)
        best = ranking[0]
        for candidate in ranking:
            watcher.log(f"{trial.mean(candidate):.3f} on {trial.asked(candidate)}: {candidate.variant.label}")
        metrics = {
            "validation_score": trial.mean(best),
            "validation_questions": float(trial.asked(best)),
            "questions": float(trial.questions),
            "examples": float(len(best.examples)),
        }
        return self._made(best, work, metrics, trial.table())

    def _first_prompt(self, work: Work) -> PromptDraft:
        return PromptDraft(
            (Message("system", self.system), Message("user", "{{ input }}")),
            {"temperature": 0, "max_tokens": answer_tokens(work.examples)},
            answer_schema(work.examples),
        )

    def _made(
        self, best: shots.Candidate, work: Work, metrics: Mapping[str, float], table: Sequence[Mapping[str, object]]
    ) -> Made:
        record = work.folder / "candidates.json"
        shown = [example.id for example in best.examples]
        record.write_bytes(msgspec.json.encode({"chosen": best.variant.label, "examples": shown, "tried": table}))
        return Made(
            metrics=metrics, files=(File("candidates.json", record),), prompt=best.prompt, note=best.variant.label
        )


def _before(plan: Sequence[tuple[int, int]]) -> list[int]:
    return [0, *(asked for _, asked in plan[:-1])]


class _Grader(Protocol):
    def __call__(self, example: Example, output: str) -> float: ...


class _Trial:
    """Asks, grades and remembers; answers are kept in the folder, so a resumed trial asks nothing twice."""

    def __init__(
        self,
        options: PromptExamplesTrainer,
        model: ChatModel,
        work: Work,
        watcher: Watcher,
        held: Sequence[Example],
    ) -> None:
        self._options = options
        self._model = model
        self._work = work
        self._watcher = watcher
        self._held = held
        self._grade = _grader(options.evaluator, held)
        self._kept = _Kept(work.folder / "answers.jsonl")
        self._scores: dict[tuple[str, ...], list[float]] = {}
        self._labels: dict[tuple[str, ...], str] = {}
        self._failures = 0
        self.questions = 0

    def ask(self, candidate: shots.Candidate, up_to: int, total: int) -> None:
        """Ask about held-back examples until `up_to` of them are graded."""
        key = _key(candidate)
        self._labels[key] = candidate.variant.label
        scores = self._scores.setdefault(key, [])
        asked = self._held[len(scores) : up_to]
        with ThreadPoolExecutor(self._options.parallel) as threads:
            for score in threads.map(partial(self._score, candidate.prompt, key), asked):
                scores.append(score)
                self.questions += 1
                self._watcher.progress(self.questions / total, candidate.variant.label)
        self._watcher.metrics(self.questions, {"validation_score": self.mean(candidate)})

    def best(self, candidates: Sequence[shots.Candidate]) -> list[shots.Candidate]:
        """The best first; equal ones stay in their order."""
        return sorted(candidates, key=lambda candidate: -self.mean(candidate))

    def mean(self, candidate: shots.Candidate) -> float:
        """The mean score so far; 0 before the first question."""
        scores = self._scores.get(_key(candidate), [])
        return sum(scores) / len(scores) if scores else 0.0

    def asked(self, candidate: shots.Candidate) -> int:
        """How many questions it was asked."""
        return len(self._scores.get(_key(candidate), []))

    def table(self) -> list[Mapping[str, object]]:
        """What each candidate scored."""
        return [
            {"way": self._labels[key], "score": sum(scores) / max(1, len(scores)), "questions": len(scores)}
            for key, scores in self._scores.items()
        ]

    def _score(self, prompt: PromptDraft, key: tuple[str, ...], example: Example) -> float:
        name = "/".join((*key, example.id))
        if (known := self._kept.get(name)) is not None:
            return self._grade(example, known)
        parameters = dict(prompt.parameters)
        if prompt.response_schema is not None:
            parameters["response_format"] = in_the_form_of(prompt.response_schema)
        variables = {**(example.input if is_object(example.input) else {}), "input": as_text(example.input)}
        request = ChatRequest(str(self._work.target), render(prompt.messages, variables), parameters)
        try:
            answer = self._model.answer(request, deadline_s=self._options.deadline_s).text
        except RondelError as error:
            self._failures += 1
            if self._failures > max(3, MAX_FAILURES * self._options.budget):
                raise
            self._watcher.log(f"No answer: {error.message}")
            return 0.0
        self._kept.put(name, answer)
        return self._grade(example, answer)


class _Kept:
    """Answers by question, in a file that survives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers: dict[str, str] = {}
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                name, answer = msgspec.json.decode(line, type=tuple[str, str])
            except msgspec.DecodeError:
                continue  # the last line of a process that was killed
            self._answers[name] = answer

    def get(self, name: str) -> str | None:
        return self._answers.get(name)

    def put(self, name: str, answer: str) -> None:
        self._answers[name] = answer
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode((name, answer)) + b"\n")


def _key(candidate: shots.Candidate) -> tuple[str, ...]:
    return tuple(example.id for example in candidate.examples)


def _grader(name: str, held: Sequence[Example]) -> _Grader:
    chosen = name or ("fields_match" if any(is_object(example.expected) for example in held) else "exact_match")
    evaluator: Evaluator = EVALUATORS.get(chosen)()
    means = Grading()

    def grade(example: Example, output: str) -> float:
        return evaluator.grade(Case(example.input, example.expected, output, example.metadata), means).value

    return grade
