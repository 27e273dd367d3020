"""The application of the demo: it sends messages through the OpenAI client, and tells how good each answer was."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import openai

from rondel.client.sdk import Client
from rondel.demo.task import Row

CONCURRENCY = 4
"""Callers at a time: as many as the local engine has slots."""

SCORE = "score"
"""The feedback that says how good an answer was; who sees it sees the right answer too, which was told before."""
Score = Callable[[str, object], float]
"""(the answer's text, the right answer) to the share of it that is right, in [0, 1]."""


class Sent(NamedTuple):
    """One message that was sent; `score` is None when there was no answer."""

    row: Row
    text: str
    score: float | None


@dataclass
class Sender:
    """Sends rows to a route as many customers, and posts each answer's score and the right answer as feedback.

    `sent` and `errors` count over its whole life.
    """

    client: Client
    key: str
    route: str
    score: Score
    deadline_s: float = 120.0
    sent: int = 0
    errors: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Connect as any application does."""
        self._openai = openai.OpenAI(
            base_url=self.client.openai_base_url, api_key=self.key, timeout=self.deadline_s, max_retries=0
        )

    def send(self, rows: Sequence[Row], *, on_answer: Callable[[Sent], None]) -> list[Sent]:
        """Send all rows once, a few at a time, in their order."""
        answered: list[Sent] = []
        with ThreadPoolExecutor(CONCURRENCY) as threads:
            for one in threads.map(self._one, rows):
                answered.append(one)
                on_answer(one)
        return answered

    @contextmanager
    def sending(self, supply: Iterator[Row]) -> Generator[None]:
        """Send what comes next, for as long as the block lasts."""
        ended = threading.Event()

        def work() -> None:
            while not ended.is_set():
                self._one(self._next(supply))

        with ThreadPoolExecutor(CONCURRENCY) as threads:
            working = [threads.submit(work) for _caller in range(CONCURRENCY)]
            try:
                yield
            finally:
                ended.set()
        for one in working:
            one.result()

    def _next(self, supply: Iterator[Row]) -> Row:
        with self._lock:
            return next(supply)

    def _one(self, row: Row) -> Sent:
        with self._lock:
            self.sent += 1
            number = self.sent
        try:
            answer = self._openai.chat.completions.create(
                model=self.route, messages=[{"role": "user", "content": row.input}], user=f"customer-{number}"
            )
        except openai.OpenAIError:
            with self._lock:
                self.errors += 1
            return Sent(row, "", None)
        text = answer.choices[0].message.content or ""
        score = self.score(text, row.expected)
        self.client.feedback(answer.id, "expected", msgspec.json.encode(row.expected).decode())
        self.client.feedback(answer.id, SCORE, score)
        return Sent(row, text, score)
