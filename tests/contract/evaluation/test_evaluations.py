"""Evaluations on every database: carried out, continued, compared."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.chat import ChatAnswer, ChatRequest, Delta, Message, Usage
from rondel.clock import FixedClock
from rondel.datasets.models import Row
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.errors import Conflict, Invalid, NotFound, RondelError, Unavailable, UpstreamFailed
from rondel.evaluation.models import Evaluation, EvaluationState, EvaluatorSpec, Progress, Target, Verdict
from rondel.evaluation.service import EVALUATE, Asking, Evaluations
from rondel.evaluation.store import EvaluationStore
from rondel.evaluation.tasks import end_with_job, tasks
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.jobs.models import JobCancelled, JobState
from rondel.jobs.ports import MemoryContext
from rondel.jobs.service import Jobs, ended
from rondel.jobs.store import JobStore
from rondel.prompts.models import PromptDraft
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.telemetry.models import Span, SpanKind, SpanMessage, Status, Trace, TraceRow

EXACT = (EvaluatorSpec("exact_match"),)
SIZE = 40


class Model:
    """Answers by a function of the last message; counts how often it was asked."""

    def __init__(self, say: Callable[[str], str]) -> None:
        self.say = say
        self.asked: list[ChatRequest] = []
        self._lock = threading.Lock()

    def answer(self, request: ChatRequest, *, deadline_s: float) -> ChatAnswer:
        with self._lock:
            self.asked.append(request)
            number = len(self.asked)
        assert deadline_s > 0
        text = self.say(request.messages[-1].content)
        return ChatAnswer(
            f"cc_{number}", request.model, text, "stop", Usage(10, output_text=3), 0.25, trace_id="t" * 32
        )

    def stream(self, request: ChatRequest, *, deadline_s: float) -> Iterator[Delta]:
        yield Delta(self.answer(request, deadline_s=deadline_s).text)


class House:
    """The services that an evaluation needs, over one database."""

    def __init__(self, rows: Database, audit: Audit, ids: Ids, folder: Path, scope: Scope, actor: Actor) -> None:
        self.rows, self.scope, self.actor, self.audit = rows, scope, actor, audit
        self.prompts = Prompts(store=PromptStore(), audit=audit, ids=ids)
        self.datasets = Datasets(store=DatasetStore(), blobs=DiskBlobs(folder), audit=audit, ids=ids)
        self.jobs = Jobs(store=JobStore(), audit=audit, ids=ids)
        self.clock = FixedClock()
        self.traces: list[Trace] = []
        self.evaluations = Evaluations(
            store=EvaluationStore(),
            audit=audit,
            ids=ids,
            clock=self.clock,
            rows=rows,
            datasets=self.datasets,
            prompts=self.prompts,
            jobs=self.jobs,
            walk=lambda _scope, chosen: (one for one in self.traces if one.trace_id in chosen.trace_ids),
        )
        self.keep("numbers", [Row(n, f"{n}", f"{n * n}", {}, "test" if n % 2 else "train") for n in range(SIZE)])

    def keep(self, name: str, content: list[Row]) -> None:
        packed = self.datasets.pack(content)
        with self.rows.transaction() as tx:
            self.datasets.add_version(tx, self.scope, self.actor, name, packed)

    def start(self, target: Target, **more: object) -> str:
        given: dict[str, object] = {"dataset": "numbers", "evaluators": EXACT, **more}
        with self.rows.transaction() as tx:
            started = self.evaluations.start(tx, self.scope, self.actor, target=target, **given)  # pyright: ignore[reportArgumentType]  each test gives what it is about
        return started.evaluation.id

    def get(self, evaluation_id: str) -> Evaluation:
        with self.rows.reading() as tx:
            return self.evaluations.get(tx, self.scope, evaluation_id)

    def run(self, evaluation_id: str, model: Model, **more: object) -> float:
        asking = Asking(chat=model, **more)  # pyright: ignore[reportArgumentType]  as above
        done = self.evaluations.run(self.scope, evaluation_id, asking)
        return done.metrics[done.primary].value


@pytest.fixture
def house(rows: Database, audit: Audit, ids: Ids, tmp_path: Path, scope: Scope, actor: Actor) -> House:
    return House(rows, audit, ids, tmp_path / "blobs", scope, actor)


def square(text: str) -> str:
    return str(int(text) ** 2)


def sometimes(text: str) -> str:
    return square(text) if int(text) % 4 else "wrong"


def test_every_example_is_asked_once_graded_and_kept_with_its_trace(house: House) -> None:
    model = Model(square)
    identifier = house.start(Target("support"))
    assert house.run(identifier, model) == 1.0
    assert len(model.asked) == SIZE
    with house.rows.reading() as tx:
        found = house.evaluations.get(tx, house.scope, identifier)
        results = house.evaluations.results(tx, house.scope, identifier)
        page = house.evaluations.results(tx, house.scope, identifier, after=4, limit=2)
        actions = [entry.action for entry in house.audit.page(tx, house.scope, action="evaluation.")]
    assert (found.state, found.done, found.size, found.errors) == (EvaluationState.FINISHED, SIZE, SIZE, 0)
    assert [result.position for result in results] == list(range(SIZE))
    assert [result.position for result in page] == [5, 6]
    assert results[3].output == "9"
    assert (results[3].trace_id, results[3].latency_ms, results[3].input_tokens) == ("t" * 32, 250.0, 10)
    assert actions == ["evaluation.finish", "evaluation.start"]
    assert house.run(identifier, model) == 1.0
    assert len(model.asked) == SIZE


def test_one_failed_answer_counts_zero_and_says_why(house: House) -> None:
    def say(text: str) -> str:
        if text == "7":
            raise UpstreamFailed("The provider 'x' broke off.")
        return square(text)

    identifier = house.start(Target("support"))
    assert house.run(identifier, Model(say)) == pytest.approx((SIZE - 1) / SIZE)
    with house.rows.reading() as tx:
        assert house.evaluations.get(tx, house.scope, identifier).errors == 1
        [failed] = [r for r in house.evaluations.results(tx, house.scope, identifier) if r.error]
    assert (failed.position, failed.error, failed.grades["exact_match"].value) == (
        7,
        "The provider 'x' broke off.",
        0.0,
    )
    assert house.get(identifier).message == f"1 of {SIZE} examples failed, the first: The provider 'x' broke off."


def test_a_target_that_is_not_there_stops_it_and_nothing_is_marked_wrong(house: House) -> None:
    calls = 0

    def say(text: str) -> str:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise Unavailable("The gateway does not answer.")
        return square(text)

    identifier = house.start(Target("support"))
    with pytest.raises(Unavailable):
        house.run(identifier, Model(say), concurrency=1)
    with house.rows.reading() as tx:
        stopped = house.evaluations.get(tx, house.scope, identifier)
        results = house.evaluations.results(tx, house.scope, identifier)
    assert (stopped.state, stopped.message) == (EvaluationState.FAILED, "The gateway does not answer.")
    assert len(results) == 10
    assert not any(result.error for result in results)
    again = Model(square)
    assert house.run(identifier, again) == 1.0
    assert len(again.asked) == SIZE - 10


def test_a_note_stays_through_a_failure_and_a_failure_goes_with_the_next_success(house: House) -> None:
    house.keep("half", [Row(n, f"{n}", f"{n * n}" if n % 2 else None) for n in range(10)])
    note = "5 examples have no expected answer and are left out."

    def refuse(_text: str) -> str:
        raise NotFound("There is no model 'm'.")

    identifier = house.start(Target("m"), dataset="half")
    with pytest.raises(NotFound):
        house.run(identifier, Model(refuse))
    assert house.get(identifier).message == f"There is no model 'm'. {note}"
    with house.rows.transaction() as tx:
        house.evaluations.resume(tx, house.scope, house.actor, identifier)
    assert (house.get(identifier).state, house.get(identifier).message) == (EvaluationState.QUEUED, note)
    house.run(identifier, Model(square))
    assert (house.get(identifier).state, house.get(identifier).message) == (EvaluationState.FINISHED, note)


class Killed(BaseException):
    """As good as kill -9 for what is committed."""


@pytest.mark.parametrize("after", [1, 17, 39])
def test_a_killed_evaluation_goes_on_where_it_was(house: House, after: int) -> None:
    identifier = house.start(Target("support"))

    def kill(progress: Progress) -> None:
        if progress.done >= after:
            raise Killed

    model = Model(square)
    with pytest.raises(Killed):
        house.evaluations.run(house.scope, identifier, Asking(chat=model, concurrency=1), progress=kill)
    with house.rows.reading() as tx:
        there = house.evaluations.get(tx, house.scope, identifier)
    assert after <= there.done < SIZE + 1
    again = Model(square)
    assert house.run(identifier, again) == 1.0
    assert len(again.asked) == SIZE - there.done


def test_split_and_limit_choose_the_same_examples_every_time(house: House) -> None:
    chosen: list[set[str]] = []
    for seed in (1, 1, 2):
        model = Model(square)
        house.run(house.start(Target("support"), split="test", limit=8, seed=seed), model)
        chosen.append({request.messages[0].content for request in model.asked})
    assert chosen[0] == chosen[1] != chosen[2]
    assert {len(one) for one in chosen} == {8}
    assert all(int(text) % 2 for one in chosen for text in one)


def test_comparing_is_paired_and_says_what_it_could_have_seen(house: House) -> None:
    a, b = house.start(Target("base"), name="base"), house.start(Target("candidate"), name="candidate")
    house.run(a, Model(sometimes))
    with house.rows.reading() as tx, pytest.raises(Conflict, match="can be compared when it is finished"):
        house.evaluations.compare(tx, house.scope, a, b)
    house.run(b, Model(square))
    with house.rows.reading() as tx:
        [found] = house.evaluations.compare(tx, house.scope, a, b)
        [back] = house.evaluations.compare(tx, house.scope, b, a)
    assert (found.value, found.n, found.wins, found.losses) == (0.25, SIZE, 10, 0)
    assert found.verdict is Verdict.BETTER
    assert found.low > 0
    assert found.mde > 0
    assert found.sentence.startswith("candidate is better than base on exact_match by 25.0 points (95 % interval +")
    assert back.verdict is Verdict.WORSE


def test_a_saved_prompt_brings_messages_parameters_and_schema(house: House) -> None:
    draft = PromptDraft((Message("system", "Square it."), Message("user", "{{ input }}")), {"temperature": 0})
    with house.rows.transaction() as tx:
        house.prompts.save(tx, house.scope, house.actor, "square", draft)
        house.prompts.label(tx, house.scope, house.actor, "square", "production")
    model = Model(square)
    identifier = house.start(Target("m", prompt="square@production", parameters={"max_tokens": 5}))
    house.run(identifier, model)
    assert model.asked[0].messages[0] == Message("system", "Square it.")
    assert model.asked[0].parameters == {"temperature": 0, "max_tokens": 5}
    with house.rows.reading() as tx:
        assert house.evaluations.get(tx, house.scope, identifier).target.prompt == "square@1"


def test_answers_of_what_cannot_change_are_used_again_and_others_never(house: House) -> None:
    first, second = Model(square), Model(square)
    fixed = Target("rel_1", revision="sha256:abc")
    house.run(house.start(fixed), first)
    identifier = house.start(fixed)
    assert house.run(identifier, second) == 1.0
    assert (len(first.asked), len(second.asked)) == (SIZE, 0)
    with house.rows.reading() as tx:
        assert all(result.cached for result in house.evaluations.results(tx, house.scope, identifier))
    for target in (Target("rel_1"), Target("rel_1", revision="sha256:def")):
        third = Model(square)
        house.run(house.start(target), third)
        assert len(third.asked) == SIZE
    fresh = Model(square)
    house.run(house.start(fixed), fresh, use_cache=False)
    assert len(fresh.asked) == SIZE


def live(number: int) -> Trace:
    """What release rel_1 answered when somebody asked it this number."""
    at, identifier = datetime(2026, 1, 1, tzinfo=UTC), f"{number:032x}"
    gateway = Span(
        identifier,
        "a" * 16,
        "",
        "chat",
        SpanKind.GATEWAY,
        at,
        at,
        release_id="rel_1",
        messages_in=(SpanMessage("user", str(number)),),
        output_text="recorded",
    )
    call = replace(gateway, kind=SpanKind.LLM, span_id="b" * 16, parameters={"temperature": 0})
    return Trace(TraceRow(identifier, at, "chat", Status.OK, 1.0), (gateway, call), ())


def test_what_a_release_answered_live_is_not_asked_for_again_when_that_is_wished(house: House) -> None:
    house.traces = [live(number) for number in range(1, SIZE - 1)]
    house.keep("live", [Row(n, f"{n}", f"{n * n}", trace_id=f"{n:032x}") for n in range(SIZE)])
    model = Model(square)
    identifier = house.start(Target("rel_1", recorded=True), dataset="live")
    assert house.run(identifier, model) == pytest.approx(2 / SIZE)
    assert sorted(request.messages[-1].content for request in model.asked) == ["0", str(SIZE - 1)]
    with house.rows.reading() as tx:
        results = house.evaluations.results(tx, house.scope, identifier)
    assert [result.cached for result in results] == [False, *[True] * (SIZE - 2), False]
    assert {result.output for result in results if result.cached} == {"recorded"}
    assert house.get(identifier).message == "38 of 40 answers had been given before and were not asked for again."
    anew = Model(square)
    assert house.run(house.start(Target("rel_1"), dataset="live"), anew) == 1.0
    assert len(anew.asked) == SIZE
    with pytest.raises(Invalid, match="leave out the prompt"):
        house.start(Target("rel_1", recorded=True, parameters={"top_p": 1}), dataset="live")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dataset": "nmbers"}, "Did you mean 'numbers'?"),
        ({"split": "tst"}, "Did you mean 'test'?"),
        ({"evaluators": (EvaluatorSpec("exact_mtch"),)}, "Did you mean 'exact_match'?"),
        ({"evaluators": (EvaluatorSpec("regex", {"patern": "x"}),)}, "Did you mean 'pattern'?"),
        ({"evaluators": (EvaluatorSpec("regex"),)}, "missing required field `pattern`. It takes: pattern, whole."),
        ({"evaluators": (EvaluatorSpec("regex", {"pattern": 7}),)}, "Expected `str`, got `int` - at `$.pattern`"),
        ({"evaluators": (EvaluatorSpec("numeric", {"tolerance": "much"}),)}, "at `$.tolerance`"),
        ({"evaluators": (EvaluatorSpec("contains", {"ignore_case": "no"}),)}, "at `$.ignore_case`"),
        ({"evaluators": (EvaluatorSpec("json_schema", {"schema": [1]}),)}, "at `$.schema`"),
        ({"evaluators": (EvaluatorSpec("exact_match", {"strict": True}),)}, "has no option 'strict'"),
        ({"evaluators": (EvaluatorSpec("regex", {"pattern": "("}),)}, "is no regular expression"),
        ({"evaluators": EXACT * 2}, "Two evaluators are called 'exact_match'"),
        ({"evaluators": ()}, "at least one evaluator"),
        ({"limit": 0}, "at least 1"),
        ({"target": Target("baseline:tfidf_liner"), "split": "test"}, "Did you mean 'tfidf_linear'?"),
        ({"target": Target("baseline:tfidf_linear")}, "learns from split 'train'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_asked(house: House, given: dict[str, object], says: str) -> None:
    with pytest.raises(RondelError) as caught:
        house.start(**{"target": Target("support"), **given})  # pyright: ignore[reportArgumentType]  as above
    assert says in caught.value.message
    with house.rows.reading() as tx:
        assert house.evaluations.list(tx, house.scope) == []


def test_a_prompt_that_needs_more_than_the_examples_have_is_refused_at_the_start(house: House) -> None:
    with pytest.raises(Invalid, match="needs 'customer'"):
        house.start(Target("m", messages=(Message("user", "{{ customer }} {{ input }}"),)))


def test_examples_without_an_answer_are_left_out_and_it_is_said(house: House) -> None:
    house.keep("half", [Row(n, f"{n}", f"{n * n}" if n % 2 else None) for n in range(10)])
    identifier = house.start(Target("m"), dataset="half")
    assert house.run(identifier, Model(square)) == 1.0
    with house.rows.reading() as tx:
        found = house.evaluations.get(tx, house.scope, identifier)
    assert (found.size, found.message) == (5, "5 examples have no expected answer and are left out.")


def test_the_plain_baseline_is_an_evaluation_like_any_other(house: House) -> None:
    words = {"refund": "money back please", "return": "send it back to you", "delivery": "where is my parcel"}
    labels = list(words)
    house.keep(
        "labels",
        [
            Row(
                n,
                f"{words[labels[n % 3]]} number {n} {'thanks' * (n % 2)}",
                {"intent": labels[n % 3], "order": f"MO{n}" if n % 4 == 0 else None},
                {},
                "test" if n % 5 == 0 else "train",
            )
            for n in range(120)
        ],
    )
    target = Target("baseline:tfidf_linear")
    identifier = house.start(target, dataset="labels", split="test", evaluators=(EvaluatorSpec("fields_match"),))
    done = house.evaluations.run(house.scope, identifier, Asking())
    with house.rows.reading() as tx:
        fields = house.evaluations.fields(tx, house.scope, identifier)
    assert fields["intent"].value == 1.0
    assert fields["order"].value == pytest.approx(18 / 24)
    assert done.metrics["fields_match"].n == 24
    with pytest.raises(Invalid, match="learns from split 'train'"):
        house.evaluations.run(house.scope, house.start(target, dataset="labels"), Asking())


def test_the_worker_carries_out_what_was_enqueued(house: House) -> None:
    with house.rows.transaction() as tx:
        started = house.evaluations.start(
            tx, house.scope, house.actor, dataset="numbers", target=Target("m"), evaluators=EXACT, enqueue=True
        )
    assert started.plan.sentence.startswith(f"{SIZE} paired examples can see a difference of ")
    assert started.job is not None
    assert (started.job.task, started.job.state) == (EVALUATE, JobState.QUEUED)
    context = MemoryContext(started.job)
    [task] = tasks(house.evaluations, Model(sometimes))
    assert task.run(context, started.job.payload)["value"] == 0.75
    assert context.reports[-1][0] == 1.0
    assert "0.750" in context.lines[-1]


@pytest.mark.parametrize("has_begun", [False, True])
def test_an_evaluation_ends_with_its_job_and_can_be_continued(house: House, has_begun: bool) -> None:
    with house.rows.transaction() as tx:
        started = house.evaluations.start(
            tx, house.scope, house.actor, dataset="numbers", target=Target("m"), evaluators=EXACT, enqueue=True
        )
    assert started.job is not None
    identifier, first = started.evaluation.id, started.job
    if has_begun:
        [task] = tasks(house.evaluations, Model(square))
        with pytest.raises(JobCancelled):
            task.run(MemoryContext(first, cancelled_after=1), first.payload)
        assert 0 < house.get(identifier).done < SIZE
    with house.rows.transaction() as tx, pytest.raises(Conflict, match=f"job '{first.id}' is queued"):
        house.evaluations.resume(tx, house.scope, house.actor, identifier)
    with house.rows.transaction() as tx:
        house.jobs.cancel(tx, house.scope, house.actor, first.id)
    told = ended(first, JobState.CANCELLED)
    listen = end_with_job(house.rows, house.evaluations, house.jobs)
    listen(told)
    assert house.get(identifier).state is EvaluationState.CANCELLED
    assert "ancelled" in house.get(identifier).message
    with house.rows.transaction() as tx:
        second = house.evaluations.resume(tx, house.scope, house.actor, identifier)
    listen(told)
    assert house.get(identifier).state is EvaluationState.QUEUED
    assert second is not None
    [task] = tasks(house.evaluations, Model(square))
    task.run(MemoryContext(second), second.payload)
    listen(told)
    listen(ended(second, JobState.FAILED))
    assert house.get(identifier).state is EvaluationState.FINISHED


def test_no_evaluation_crosses_a_scope(house: House) -> None:
    identifier = house.start(Target("m"))
    house.run(identifier, Model(square))
    with house.rows.reading() as tx:
        for other in (Scope("prj_other", house.scope.environment), Scope(house.scope.project_id, "staging")):
            assert house.evaluations.list(tx, other) == []
            with pytest.raises(NotFound):
                house.evaluations.results(tx, other, identifier)
