"""Asks and grades many examples at once, in threads."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from rondel.chat import ChatAnswer, ChatModel, ChatRequest
from rondel.clock import Clock
from rondel.datasets.models import Example
from rondel.errors import (
    Forbidden,
    Invalid,
    LimitReached,
    NotFound,
    RondelError,
    Unauthorized,
    Unavailable,
)
from rondel.evaluation.asking import cache_key, request_for
from rondel.evaluation.models import Case, EvaluatorSpec, Grade, Result, Target
from rondel.evaluation.ports import EVALUATORS, Evaluator, Means
from rondel.evaluation.store import Kept
from rondel.plugins import Plugins, with_options

PATIENCE = 5
"""How often something that is not available now is asked again, waiting 0.5, 1, 2, 4 s between."""
STOPS = (NotFound, Unauthorized, Forbidden, Unavailable, LimitReached)
"""Errors of the target as a whole: the evaluation stops, to be continued, and no example is marked wrong for them."""


def built(specs: Iterable[EvaluatorSpec], plugins: Plugins[Evaluator] = EVALUATORS) -> dict[str, Evaluator]:
    """Metric name to evaluator.

    Raises:
        NotFound: there is no such evaluator.
        Invalid: an option is unknown, missing or of the wrong type, two metrics have one name, or there is none.
    """
    found: dict[str, Evaluator] = {}
    for spec in specs:
        if spec.metric in found:
            raise Invalid(f"Two evaluators are called {spec.metric!r}: give one of them a label.")
        found[spec.metric] = with_options(plugins.get(spec.name), spec.options, called=f"evaluator {spec.name!r}")
    if not found:
        raise Invalid("An evaluation needs at least one evaluator, such as exact_match or fields_match.")
    return found


class Answer(NamedTuple):
    """What a target said to one example, before it is graded; `cached` when it was not asked for this time."""

    output: str
    cache_key: str = ""
    response_id: str = ""
    trace_id: str = ""
    latency_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached: bool = False


Ask = Callable[[Example], Answer]


class Asker:
    """Asks a chat model about an example, looking first whether it was asked exactly this before."""

    def __init__(
        self,
        target: Target,
        chat: ChatModel,
        clock: Clock,
        *,
        deadline_s: float,
        earlier: Callable[[str], Result | None],
    ) -> None:
        self._target = target
        self._chat = chat
        self._clock = clock
        self._deadline_s = deadline_s
        self._earlier = earlier

    def __call__(self, example: Example) -> Answer:
        """The answer; errors as in `ChatModel.answer`, and `Invalid` when the prompt does not fit the example."""
        request = request_for(self._target, example)
        key = cache_key(self._target, request)
        if key and (found := self._earlier(key)):
            return _again(found, key)
        return _fresh(self._patiently(request), key)

    def _patiently(self, request: ChatRequest) -> ChatAnswer:
        for attempt in range(PATIENCE - 1):
            try:
                return self._chat.answer(request, deadline_s=self._deadline_s)
            except (Unavailable, LimitReached):
                self._clock.sleep(0.5 * 2**attempt)
        return self._chat.answer(request, deadline_s=self._deadline_s)


def _again(earlier: Result, key: str) -> Answer:
    return Answer(
        earlier.output,
        key,
        earlier.response_id,
        earlier.trace_id,
        earlier.latency_ms,
        earlier.input_tokens,
        earlier.output_tokens,
        cached=True,
    )


def _fresh(answer: ChatAnswer, key: str) -> Answer:
    usage = answer.usage
    return Answer(
        answer.text,
        key,
        answer.id,
        answer.trace_id or "",
        answer.latency_s * 1000,
        usage.input if usage else 0,
        usage.output if usage else 0,
    )


def judged(
    position: int,
    example: Example,
    ask: Ask,
    evaluators: Mapping[str, Evaluator],
    means: Means,
) -> Kept:
    """One example asked and graded. What goes wrong with this example alone counts 0 and says why.

    Raises:
        NotFound, Unauthorized, Forbidden, Unavailable, LimitReached: the target as a whole cannot be asked.
    """
    wrong = {metric: Grade(0.0) for metric in evaluators}
    try:
        answer = ask(example)
    except STOPS:
        raise
    except RondelError as error:
        return Kept(Result(example.id, position, "", wrong, error.message))
    grades: dict[str, Grade] = {}
    problem = ""
    case = Case(example.input, example.expected, answer.output, example.metadata)
    for metric, evaluator in evaluators.items():
        try:
            grades[metric] = evaluator.grade(case, means)
        except STOPS:
            raise
        except RondelError as error:
            grades[metric] = Grade(0.0, error.message)
            problem = problem or f"{metric}: {error.message}"
    return Kept(_result(position, example, answer, grades, problem), answer.cache_key)


def _result(position: int, example: Example, answer: Answer, grades: Mapping[str, Grade], problem: str) -> Result:
    return Result(
        example.id,
        position,
        answer.output,
        grades,
        problem,
        answer.response_id,
        answer.trace_id,
        answer.latency_ms,
        answer.input_tokens,
        answer.output_tokens,
        answer.cached,
    )


def concurrently(
    items: Iterable[tuple[int, Example]], work: Callable[[int, Example], Kept], *, concurrency: int
) -> Iterator[list[Kept]]:
    """Results in the order they come, in batches of what is ready; at most twice `concurrency` items are under way.

    What `work` raises ends it: what was ready before is given first.
    """
    waiting: set[Future[Kept]] = set()
    source = iter(items)
    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="evaluate") as pool:
        try:
            while True:
                while len(waiting) < 2 * concurrency and (item := next(source, None)) is not None:
                    waiting.add(pool.submit(work, *item))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                failed = next((error for future in done if (error := future.exception())), None)
                yield [future.result() for future in done if future.exception() is None]
                if failed is not None:
                    raise failed
        finally:
            for future in waiting:
                future.cancel()
