"""A cascade: answers are held until one is good enough; a judge may be asked about them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from rondel.errors import RondelError, Unavailable
from rondel.gateway.costing import estimate, load_of
from rondel.gateway.dataplane.asking import Asked, Entry
from rondel.gateway.dataplane.exchange import Exchange
from rondel.gateway.dataplane.intake import ANSWER_LIMIT, Intake, Outcome
from rondel.gateway.dataplane.limits import Ticket
from rondel.gateway.dataplane.ports import Reply
from rondel.gateway.dataplane.recording import Result, Tried, note_spent
from rondel.gateway.dataplane.ways import Candidate, Lane, Way
from rondel.gateway.dataplane.wire import Answer
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.escalating import (
    Given,
    escalates,
    judge_request,
    parse_verdict,
    question_of,
    text_given,
    wants_json,
)
from rondel.gateway.models import Fields, Operation
from rondel.gateway.routing import Cascade, Judge
from rondel.gateway.rules import TraceParent, parse_head, unit_of
from rondel.ids import chance


class Kept(NamedTuple):
    """An answer that was not good enough, for when nobody gives a better one."""

    outcome: Outcome
    tried: Tried
    intake: Intake
    sent_body: bytes


class Steps:
    """One request's way up its cascade."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.kept: Kept | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._judging: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, data: bytes) -> bool:
        """Keep a piece of a stream back; False when there are too many, and the answer has to be taken as it is."""
        self._held.append(data)
        self._size += len(data)
        return self._size <= ANSWER_LIMIT

    def released(self) -> bytes:
        """What was held back of the current answer."""
        held = b"".join(self._held)
        self._held, self._size = [], 0
        return held

    def reason(self, outcome: Outcome, asked: Asked, candidate: Candidate) -> str:
        """Why an answer is not good enough by the rules."""
        given = Given(
            outcome.folded.finish_reason,
            text_given(outcome.folded.body),
            wants_json(candidate.release.parameters, asked.fields),
            outcome.error if outcome.is_refused else "",
        )
        return escalates(self.cascade, given)

    def judge(self, outcome: Outcome) -> Judge | None:
        """Who is asked about an answer that the rules let pass; nobody about one that is no text."""
        is_text = not outcome.is_refused and text_given(outcome.folded.body) is not None
        return self.cascade.judge if is_text else None

    def wait(self, judging: Exchange, timer: asyncio.TimerHandle) -> None:
        """A judge was asked."""
        self._judging, self._timer = judging, timer

    def stop(self) -> None:
        """Wait for no judge any more."""
        judging, timer = self._judging, self._timer
        self._judging = self._timer = None
        if timer is not None:
            timer.cancel()
        if judging is not None:
            judging.hang_up()


def above(candidates: Sequence[Candidate], below: Candidate) -> Sequence[Candidate]:
    """The candidates behind one of them."""
    position = next(at for at, one in enumerate(candidates) if one is below)
    return candidates[position + 1 :]


_NO_TEXT = frozenset({Operation.EMBEDDING, Operation.COUNT_TOKENS})


class Verdict:
    """Where a judge's answer goes: `told` hears once whether the answer is good; None when it did not say."""

    def __init__(self, told: Callable[[bool | None], None]) -> None:
        self._told: Callable[[bool | None], None] | None = told

    def begin(self, status: int, content_type: bytes, headers: bytes) -> None:
        """It is asked for no stream."""

    def send(self, data: bytes) -> None:
        """As before."""

    def end(self, data: bytes) -> None:
        """As before."""

    def answer(self, answer: Answer) -> None:
        """What it said."""
        text = text_given(answer.body) if answer.status == 200 else None
        self.give(None if text is None else parse_verdict(text))

    def give(self, is_good: bool | None) -> None:
        """Tell it, if nothing was told."""
        told, self._told = self._told, None
        if told is not None:
            told(is_good)


class Case(NamedTuple):
    """A judge's request, admitted."""

    asked: Asked
    way: Way
    lane: Lane
    ticket: Ticket


def case(worker: Worker, judge: Judge, asked: Asked, fields: Fields, way: Way, outcome: Outcome) -> Case:
    """Ask `judge` about an answer to `asked`, whose `fields` are as guardrails let them through: a request of the same
    key in the same trace, with a record, limits and costs of its own.

    Raises:
        RondelError: it cannot be asked now.
    """
    if worker.ways is None:
        raise Unavailable("There is no snapshot.")
    body = judge_request(judge.route, judge.rubric, question_of(fields), text_given(outcome.folded.body) or "")
    entry = Entry(asked.entry.key, "", "", asked.entry.tags, TraceParent(asked.trace_id, asked.span_id, 1))
    now_ns, now = worker.now_ns(), worker.now()
    request_id, span_id = worker.series.new(now_ns), chance(8).hex()
    inner = Asked(entry, Operation.CHAT, body, now_ns, now, request_id, asked.trace_id, span_id, asked.trace_flags)
    inner.head = head = parse_head(body)
    inner.unit = unit_of("", "", request_id)
    inner.way = judged_by = worker.ways.judge(way, judge.route)
    lane = replace(judged_by.take(request_id, request_id).lane, cascade=None, hedge=None)  # no judge is judged
    guess = estimate(load_of(body), head.max_tokens, lane.price)
    return Case(inner, judged_by, lane, judged_by.meter.admit("", guess.tokens, guess.nano, now))


class CascadedExchange(Exchange):
    """A request whose answers are looked at before the caller gets one: the last target's is taken as it is."""

    def __init__(
        self, worker: Worker, asked: Asked, way: Way, lane: Lane, ticket: Ticket, reply: Reply, pair_id: str = ""
    ) -> None:
        super().__init__(worker, asked, way, lane, ticket, reply, pair_id)
        self.first_token: float | None = None
        self._steps: Steps | None = None

    def _begin(self) -> None:
        if self.lane.cascade is not None and self.asked.operation not in _NO_TEXT:
            self._steps = Steps(self.lane.cascade)
        super()._begin()

    def _open(self, intake: Intake, out: bytes) -> None:
        if self._steps is None:
            super()._open(intake, out)
        elif not self._steps.hold(out):
            super()._open(intake, self._steps.released())

    def _take_whole(self, outcome: Outcome) -> None:
        if self._steps is None or self._is_begun:
            super()._take_whole(outcome)
            return
        outcome.data = self._steps.released() + outcome.data
        if outcome.error and not outcome.is_refused:
            super()._take_whole(outcome)
        else:
            self._weigh(self._steps, outcome)

    def _weigh(self, steps: Steps, outcome: Outcome) -> None:
        tried = self.tried[-1]
        candidate = tried.candidate
        tried.end(self._worker.now(), "")
        candidate.breaker.succeed()
        if not above(self.lane.candidates, candidate):
            self._finish(outcome)
            return
        note_spent(self, tried, outcome.folded)  # until it turns out to be the caller's
        if reason := steps.reason(outcome, self.asked, candidate):
            self._escalate(steps, outcome, reason)
        elif judge := steps.judge(outcome):
            self._ask_judge(steps, judge, outcome)
        else:
            self._accept(outcome)

    def _finish(self, outcome: Outcome) -> None:
        if self._steps is not None and not self._is_begun and self.first_token is not None:
            self.first_token = self._worker.now()  # the caller gets it now
        super()._finish(outcome)

    def _accept(self, outcome: Outcome) -> None:
        tried = self.tried[-1]
        tried.tokens = tried.nano = None  # they stand in the record itself
        self._finish(outcome)

    def _escalate(self, steps: Steps, outcome: Outcome, reason: str) -> None:
        """Ask the next target; the answer at hand is kept for when nobody gives a better one."""
        tried = self.tried[-1]
        tried.error = f"was not good enough: {reason}"
        if outcome.is_refused:
            self.verdicts += outcome.verdicts
            outcome.verdicts = ()
        if self._intake is not None and (steps.kept is None or not outcome.is_refused):
            steps.kept = Kept(outcome, tried, self._intake, self.sent_body)
        self._climb(steps, self._worker.now())

    def _climb(self, steps: Steps, now: float) -> None:
        """The next target that does not rest, else the answer that was kept."""
        steps.released()
        higher = above(self.lane.candidates, self.tried[-1].candidate)
        candidate = next((one for one in higher if one.breaker.wait_s(now) <= 0), None)
        if candidate is not None and now - self.asked.began < self.way.route.timeouts.total_s:
            self._ask(candidate, now)
        elif steps.kept is not None:
            self._fall_back(steps.kept)
        else:
            self._give_up()

    def _fall_back(self, kept: Kept) -> None:
        """Nobody gives a better answer than the one that was kept."""
        outcome, tried, self._intake, self.sent_body = kept
        self.tried = [*(one for one in self.tried if one is not tried), tried]
        tried.error, self._status = "", 200
        self._accept(outcome)

    def _cannot_ask(self, error: RondelError) -> None:
        if self._steps is not None and self._steps.kept is not None:
            self._fall_back(self._steps.kept)
        else:
            super()._cannot_ask(error)

    def _go_on(self, status: int, now: float) -> None:
        if self._steps is not None:
            self._steps.released()  # what came before it broke off is nobody's
        if self._steps is not None and self._steps.kept is not None:
            self._climb(self._steps, now)
        else:
            super()._go_on(status, now)

    def _ask_judge(self, steps: Steps, judge: Judge, outcome: Outcome) -> None:
        verdict = Verdict(lambda is_good: self._take(lambda: self._judged(steps, outcome, is_good)))
        try:
            asked, way, lane, ticket = case(
                self._worker, judge, self.asked, self.changed or self.asked.fields, self.way, outcome
            )
        except RondelError:  # such as its limits, or that its route is gone
            verdict.give(None)
            return
        inner = Exchange(self._worker, asked, way, lane, ticket, verdict)
        steps.wait(inner, self._worker.loop.call_later(judge.timeout_s, lambda: verdict.give(None)))
        inner.start()

    def _judged(self, steps: Steps, outcome: Outcome, is_good: bool | None) -> None:
        """A judge has spoken, or did not in time: then the answer is taken."""
        steps.stop()
        if self._is_over:
            return
        self.tried[-1].why = f"judge: {'no verdict' if is_good is None else 'yes' if is_good else 'no'}"
        if is_good is False:
            self._escalate(steps, outcome, "the judge said no")
        else:
            self._accept(outcome)

    def _close(self, result: Result, answer: Answer | None) -> None:
        if self._steps is not None:
            self._steps.stop()
        super()._close(result, answer)
