"""What a caller is told when the last try has failed: the upstream's own error where that is the caller's business."""

import msgspec

from rondel.errors import RondelError, TimedOut, UpstreamFailed
from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.intake import read_body
from rondel.gateway.dataplane.recording import Result, Tried
from rondel.gateway.dataplane.wire import Answer, error_answer, error_type, problem_answer, retry_after
from rondel.gateway.ports import Call, Problem
from rondel.gateway.rules import OUR_FAULT_STATUS

_PASSED_ON = frozenset({400, 404, 408, 413, 422, 429, 503})
"""Statuses that a caller is told as they are, also where the body is no error that can be read."""


class Failure(msgspec.Struct, frozen=True, gc=False):
    """The last try. `status` is 0 where no head came, `body` is the beginning of an error's body, `is_late` says that
    it was given up for its time.
    """

    asked: Asked
    tried: Tried
    call: Call | None
    status: int
    body: bytes
    retry_after_s: float | None
    is_late: bool


def problem_of(failure: Failure) -> Problem | None:
    """The upstream's error, if its body is one."""
    provider = failure.tried.candidate.endpoint.provider
    return provider.problem(failure.status, failure.body) if failure.body else None


def answer_failure(failure: Failure) -> tuple[Result, Answer]:
    """How the request ended, and what its caller gets."""
    tried, status = failure.tried, failure.status
    name, said = tried.candidate.endpoint.connection.name, tried.error.removesuffix(".")
    if status in OUR_FAULT_STATUS:
        return _ours(
            UpstreamFailed(f"Connection {name!r} was refused by its provider (status {status}): check its secret.")
        )
    if status >= 300 and (answer := _theirs(failure)) is not None:
        return Result(status, error_type(status), tried.error), answer
    if status >= 300:
        code = status if status in _PASSED_ON else 502
        message = f"Connection {name!r} {said}."
        problem = Problem(message, error_type(code), "upstream_failed")
        return Result(code, error_type(code), message), problem_answer(code, problem)
    if failure.is_late:
        return _ours(TimedOut(f"Connection {name!r} {said}."))
    return _ours(UpstreamFailed(f"Connection {name!r}: {said}."))


def _ours(error: RondelError) -> tuple[Result, Answer]:
    return Result(error.status, error.code, error.message), error_answer(error)


def _theirs(failure: Failure) -> Answer | None:
    """The upstream's error as the caller reads errors: its own bytes where both speak the same."""
    asked, body, call, wait = failure.asked, failure.body, failure.call, failure.retry_after_s
    extra = b"" if wait is None else retry_after(wait)
    provider = failure.tried.candidate.endpoint.provider
    if call is not None and call.operation is asked.operation and call.operation in provider.operations:
        is_own = asked.entry.foreign is not None or provider.decoder(call) is None
        if is_own and b'"error"' in body and read_body(body).error:
            return Answer(failure.status, body, headers=extra)
    problem = problem_of(failure)
    return None if problem is None else problem_answer(failure.status, problem, headers=extra)
