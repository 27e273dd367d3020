"""Which models a key may call, told as the caller's client reads them: OpenAI's, Anthropic's or Google's."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from rondel.errors import NotFound, RondelError, Unavailable
from rondel.gateway.dataplane.asking import named_headers, secret_of
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.speaking import DIALECTS
from rondel.gateway.dataplane.wire import Answer, error_answer, problem_answer
from rondel.gateway.models import Operation
from rondel.gateway.ports import Problem

NO_SNAPSHOT = "The gateway has no snapshot yet: the server has to be up once. Try again in 2 s."
_PATHS = (b"/v1/models", b"/v1beta/models")
_GOOGLES = b"x-goog-api-key"
_GENERATES = ["generateContent", "streamGenerateContent"]
_encode = msgspec.json.Encoder().encode

Json = dict[str, Any]


def is_listing(path: bytes) -> bool:
    """Whether a path asks for the models, or for one of them."""
    return path.startswith(_PATHS) and (path in _PATHS or path.partition(b"/models")[2].startswith(b"/"))


def listed(plan: Plan | None, now_ns: int, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> Answer:
    """The answer to a request for the models: all that the key may call, or the one named in the path."""
    named = named_headers(headers)
    is_googles = target.startswith(b"/v1beta/") or _GOOGLES in named
    try:
        if method not in {b"GET", b"HEAD"}:
            return _refused(target, is_googles=is_googles)
        if plan is None:
            raise Unavailable(NO_SNAPSHOT)
        key = plan.key(secret_of(named, target), now_ns)
        path = target.partition(b"?")[0]
        wanted = path.partition(b"/models")[2].removeprefix(b"/").decode("latin-1")
        if wanted:
            plan.find(key, wanted)
            return Answer(200, _encode(_told([wanted], named, is_googles=is_googles)[1][0]))
        shape, models = _told(plan.route_names(key), named, is_googles=is_googles)
        return Answer(200, _encode(shape(models)))
    except RondelError as error:
        code = "model_not_found" if isinstance(error, NotFound) else ""
        return _as_googles(error_answer(error, code=code), is_googles=is_googles)


def _told(
    names: list[str], named: Mapping[bytes, bytes], *, is_googles: bool
) -> tuple[Callable[[list[Json]], Json], list[Json]]:
    """Around a list, and each of the models in it.

    Sources: https://platform.openai.com/docs/api-reference/models/list,
    https://platform.claude.com/docs/en/api/models-list, https://ai.google.dev/api/models#method:-models.list
    """
    if is_googles:
        return (lambda models: {"models": models}), [
            {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": _GENERATES} for name in names
        ]
    if b"anthropic-version" in named:
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return (lambda models: {"data": models, "has_more": False, **ends}), [
            {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"} for name in names
        ]
    return (lambda models: {"object": "list", "data": models}), [
        {"id": name, "object": "model", "created": 0, "owned_by": "rondel"} for name in names
    ]


def _refused(target: bytes, *, is_googles: bool) -> Answer:
    """Only reading is served here; Google's clients call methods of a model by POST."""
    method = target.partition(b"?")[0].rpartition(b":")[2].decode("latin-1") if b":" in target else ""
    if not method:
        return problem_answer(405, Problem("Use GET.", "invalid_request_error", "method"), headers=b"allow: GET\r\n")
    message = f"Of Gemini's methods {' and '.join(_GENERATES)} are served here, {method[:64]!r} is not."
    return _as_googles(
        problem_answer(501, Problem(message, "invalid_request_error", "not_served")), is_googles=is_googles
    )


def _as_googles(answer: Answer, *, is_googles: bool) -> Answer:
    if not is_googles or answer.problem is None:
        return answer
    body = DIALECTS[Operation.GENERATE].error(answer.status, answer.problem)
    return Answer(answer.status, body, answer.content_type, answer.headers)
