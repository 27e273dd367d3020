"""Which answers are kept, for whom, and when two requests or two answers count as the same. All pure.

An answer is found again under a key that holds everything it depended on: what answers (release, targets, connections,
guardrails), whose requests may share it, and every field of the request that can change an answer. So nothing has to
be taken away when a release changes: its answers are not found any more.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeGuard

import msgspec

from rondel.gateway.models import (
    CacheScope,
    CacheSettings,
    Connection,
    Fields,
    GuardRule,
    Operation,
    ReleaseCall,
    Route,
    VirtualKey,
)
from rondel.gateway.purges.models import Purge
from rondel.gateway.rules import assemble, parse_fields
from rondel.telemetry.records import GuardVerdict

KEPT_LIMIT = 1024 * 1024
"""Bytes of the largest answer that is kept."""
TEXT_LIMIT = 400
"""Characters of the longest text that is looked up by meaning: in a long one a word that counts weighs too little."""
SAME_WORDS = 0.6
"""Shared words (F1) from which two answers count as the same one said differently."""

_SILENT = frozenset({"model", "user", "metadata", "stream", "stream_options", "safety_identifier", "prompt_cache_key"})
"""Fields that say who asks, or how the answer is to be sent, and change nothing of it."""
_OPERATIONS = frozenset({Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING})
_GOOD_ENDS = frozenset({"stop", "tool_calls", "function_call"})
_NEGATIONS = re.compile(r"\b(?:not?|never|none|without|cannot|nor|neither)\b|n['\u2019]t\b", re.IGNORECASE)
_FIGURES = re.compile(r"(?<!\w)[^\W\d]*\d[\w.,:/-]*")
_WORDS = re.compile(r"\w+")

_decode = msgspec.json.decode
_sorted = msgspec.json.Encoder(order="sorted").encode


class Directive(StrEnum):
    """What a caller says of the cache: `x-rondel-cache`, or the words of Cache-Control (RFC 9111, 5.2.1)."""

    NONE = ""
    NO_STORE = "no-store"
    """Neither look the answer up nor keep it."""
    REFRESH = "refresh"
    """Ask the model, and keep its answer in place of the old one."""
    ONLY_IF_CACHED = "only-if-cached"
    """Ask no model: an answer that is there, or an error."""


_WORDS_OF_HTTP = {
    "no-store": Directive.NO_STORE,
    "only-if-cached": Directive.ONLY_IF_CACHED,
    "no-cache": Directive.REFRESH,
    "max-age=0": Directive.REFRESH,
}


def directive_of(own: str, http: str) -> Directive:
    """What the headers `x-rondel-cache` and `cache-control` say; our own counts before the other."""
    word = own.strip().lower()
    if word in {Directive.NO_STORE, Directive.REFRESH, Directive.ONLY_IF_CACHED}:
        return Directive(word)
    said = {part.strip().lower() for part in http.split(",")} if http else frozenset[str]()
    return next((directive for name, directive in _WORDS_OF_HTTP.items() if name in said), Directive.NONE)


class Wish(NamedTuple):
    """A request as far as the cache looks at it. `fields` are those that go on, after the guardrails."""

    wants: Directive
    key: VirtualKey
    user: str
    operation: Operation
    fields: Fields
    metadata: Mapping[str, str]


class Question(NamedTuple):
    """Under what an answer to a request is kept. `group` and `text` are empty where only the same request counts.

    Two requests of one group differ in nothing but the words of `text`.
    """

    key: bytes
    group: bytes
    text: str


# Whose answers, and of what


def mark_of(
    route: Route, release: ReleaseCall, connections: Iterable[Connection], guards: Sequence[GuardRule]
) -> bytes:
    """A digest of all that answers: whatever of it changes, the answers kept before are not found any more.

    Prices are left out: an answer is none the worse when its price is corrected.
    """
    targets = [msgspec.structs.replace(target, price=None, problem="") for target in release.targets]
    places = sorted(
        ((one.id, one.provider, one.base_url, one.headers, one.options) for one in connections),
        key=lambda place: place[0],
    )
    is_shared = route.cache is not None and route.cache.scope in {CacheScope.TEAM, CacheScope.PROJECT}
    purged = [route.purged, route.shared_purged if is_shared else ""]
    place = (route.project_id, route.environment, route.name)
    call = msgspec.structs.replace(release, targets=tuple(targets))
    return _hash(["rondel-answers-2", place, purged, call, places, list(guards)])


def place_of(project_id: str, environment: str, route: str = "") -> bytes:
    """Where a route's answers are counted together, whatever release gave them: 16 bytes, of which the first 8 are
    those of its project's environment. Without a route these alone.
    """
    whole = _hash([project_id, environment])[:8]
    return whole + _hash([project_id, environment, route])[:8] if route else whole


def owner_of(scope: CacheScope, key: VirtualKey, user: str) -> tuple[str, ...]:
    """Who shares an answer with this request; different owners are different in their first word or their ids."""
    match scope:
        case CacheScope.PROJECT:
            return ("project", key.project_id, key.environment)
        case CacheScope.TEAM if key.team_id:
            return ("team", key.project_id, key.environment, key.team_id)
        case CacheScope.USER:
            return ("user", key.id, key.purged, user)
        case _:
            return ("key", key.id, key.purged)


SHARED = bytes(8)
"""In place of a key, for answers that several may have asked for."""


def keeper_of(owner: Sequence[str]) -> bytes:
    """The one key that an owner's answers are kept for, in 8 bytes; `SHARED` where there may be several."""
    return keeper_of_key(owner[1]) if owner[0] in {"user", "key"} else SHARED


def keeper_of_key(key_id: str) -> bytes:
    """A key, as answers name it."""
    return _hash(["keeper", key_id])[:8]


class Order(NamedTuple):
    """A purge as shelves know it: it takes answers whose place begins with `place`, all of them or those of a keeper.

    `name` (16 bytes) is the same for all purges of the same thing; `token` another with each.
    """

    name: bytes
    token: str
    place: bytes
    keeper: bytes = b""

    def takes(self, place: bytes, keeper: bytes) -> bool:
        """Whether an answer of this place and keeper has to go; one that is shared may be anybody's."""
        return place.startswith(self.place) and (not self.keeper or keeper in {self.keeper, SHARED})


def order_of(purge: Purge) -> Order:
    """What shelves are told."""
    name = _hash(["purge", purge.project_id, purge.environment, purge.route, purge.key_id])[:16]
    place = place_of(purge.project_id, purge.environment, purge.route)
    return Order(name, purge.token, place, keeper_of_key(purge.key_id) if purge.key_id else b"")


def question_of(
    mark: bytes,
    owner: Sequence[str],
    operation: Operation,
    fields: Fields,
    variables: Mapping[str, str | None],
    *,
    is_semantic: bool,
) -> Question | None:
    """Under what the answer to a request is kept; None for a request whose answer is not to be kept.

    `variables` are those metadata that the release's prompt is filled with: they change the answer.
    """
    if operation not in _OPERATIONS or bytes(fields.get("store", b"")) == b"true":
        return None  # a provider that stores the conversation is asked for more than an answer
    try:
        told = {name: _decode(value) for name, value in fields.items() if name not in _SILENT}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if "max_tokens" in told and "max_completion_tokens" not in told:  # two names of one limit
        told["max_completion_tokens"] = told.pop("max_tokens")
    place = [mark.hex(), list(owner), operation.value, dict(variables)]
    key = _hash([*place, told])
    if not is_semantic:
        return Question(key, b"", "")
    text, rest = _cut(operation, told)
    if not text or len(text) > TEXT_LIMIT:
        return Question(key, b"", "")
    signs = [_FIGURES.findall(text), len(_NEGATIONS.findall(text))]
    return Question(key, _hash(["near", *place, rest, signs])[:16], text)


def _cut(operation: Operation, told: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The last user message's text and everything else; no text where it holds more than text, or there is none."""
    if operation is Operation.COMPLETION and isinstance(told.get("prompt"), str):
        return told["prompt"], {**told, "prompt": None}
    messages = told.get("messages")
    if operation is not Operation.CHAT or not _is_list(messages):
        return "", told
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if not _is_object(message):
            return "", told
        if message.get("role") == "user":
            text = _text_of(message.get("content"))
            rest = [*messages[:position], {**message, "content": None}, *messages[position + 1 :]]
            return text, {**told, "messages": rest}
    return "", told


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content.strip()
    parts = content if _is_list(content) else []
    texts = [part["text"] for part in parts if _is_text(part)]
    return "\n".join(texts).strip() if texts and len(texts) == len(parts) else ""


def _is_text(part: object) -> bool:
    return (
        _is_object(part) and set(part) == {"type", "text"} and part["type"] == "text" and isinstance(part["text"], str)
    )


def _hash(value: object) -> bytes:
    return hashlib.blake2b(_sorted(value), digest_size=32).digest()


# What is kept


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An answer as it is kept: whole and unstreamed, without its id, since every request's answer has one of its own.

    `prefix` begins the ids of its kind; empty where answers have none. `at_ns` is when it was kept.
    """

    at_ns: int
    body: bytes
    prefix: str = ""
    model: str = ""
    finish_reason: str = ""

    def id_of(self, own: str) -> str:
        """The answer's id for a request; empty where answers have none."""
        return self.prefix + own if self.prefix else ""

    def whole(self, own: str) -> bytes:
        """The answer with the id `own` behind its prefix."""
        return b'{"id":"%b%b",%b' % (self.prefix.encode(), own.encode(), self.body[1:]) if self.prefix else self.body

    def age_s(self, now_ns: int) -> float:
        """Seconds since it was kept; negative when the clock was set back since."""
        return (now_ns - self.at_ns) / 1e9


class _Message(msgspec.Struct):
    refusal: str | None = None
    audio: msgspec.Raw = msgspec.Raw(b"null")


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Message | None = None


class _Answer(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] = []
    data: list[msgspec.Raw] = []
    error: msgspec.Raw = msgspec.Raw(b"null")


_answer = msgspec.json.Decoder(_Answer)


def kept_of(operation: Operation, body: bytes, verdicts: Iterable[GuardVerdict], at_ns: int) -> Kept | None:
    """What is kept of a whole answer with status 200; None where it is not good enough to be given again.

    Good is: every choice ended by `stop` or by calls of tools, the model refused nothing, and no guardrail found it
    wrong (one that took something out of it did its work). Sounds are not kept, since a provider forgets theirs.
    """
    if not 2 < len(body) <= KEPT_LIMIT or any(not one.ok and one.action != "redacted" for one in verdicts):
        return None
    try:
        told = _answer.decode(body)
        fields = parse_fields(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if bytes(told.error) != b"null":
        return None
    if operation is Operation.EMBEDDING:
        is_good = bool(told.data)
    else:
        is_good = bool(told.choices) and all(map(_is_good, told.choices))
    if not is_good:
        return None
    prefix = _prefix(told.id) if told.id else ""
    rest = assemble({name: value for name, value in fields.items() if name != "id"}) if prefix else body
    reason = told.choices[0].finish_reason or "" if told.choices else ""
    return Kept(at_ns, rest, prefix, told.model or "", reason)


def _prefix(own: str) -> str:
    """The sign of its kind, such as `chatcmpl-`; the same one for all ids that have none."""
    kind, dash, _ = own.partition("-")
    return f"{kind}-" if dash and kind.isalnum() and kind.isascii() else "answer-"


def _is_good(choice: _Choice) -> bool:
    message = choice.message
    if message is not None and (message.refusal or bytes(message.audio) != b"null"):
        return False
    return choice.finish_reason in _GOOD_ENDS


def is_fresh(kept: Kept, settings: CacheSettings, now_ns: int) -> bool:
    """Whether it may still be given. When the clock was set back by more than seconds, it may not."""
    return -_SKEW_S <= kept.age_s(now_ns) < settings.ttl_s


_SKEW_S = 5.0
"""How far the clocks of two machines may be apart."""


# Whether a semantic hit was right


def agree(kept: bytes, fresh: bytes) -> bool:
    """Whether two whole answers say the same: choice by choice the same calls of tools, the same figures in the same
    order, and at least `SAME_WORDS` of F1 in words.

    The F1 of words is that of SQuAD (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, 6.1), here without
    leaving out articles, as the languages are not known.
    """
    first, second = _said(kept), _said(fresh)
    return len(first) == len(second) and all(map(_is_same, first, second))


class _Said(NamedTuple):
    text: str
    calls: list[tuple[object, object]]


def _said(body: bytes) -> list[_Said]:
    return [_said_by(choice) for choice in _objects(_decode(body).get("choices"))]


def _said_by(choice: dict[str, Any]) -> _Said:
    message = choice.get("message")
    if not _is_object(message):
        return _Said(str(choice.get("text") or ""), [])
    called = [one for call in _objects(message.get("tool_calls")) if _is_object(one := call.get("function"))]
    return _Said(
        str(message.get("content") or ""), [(one.get("name"), _arguments(one.get("arguments"))) for one in called]
    )


def _arguments(text: object) -> object:
    try:
        return _decode(text) if isinstance(text, str) else text
    except (msgspec.DecodeError, RecursionError):
        return text


def _is_same(first: _Said, second: _Said) -> bool:
    if first.calls != second.calls or _FIGURES.findall(first.text) != _FIGURES.findall(second.text):
        return False
    return shared_words(first.text, second.text) >= SAME_WORDS


def shared_words(first: str, second: str) -> float:
    """F1 of the words of two texts, in [0, 1]; of two texts without words 1 if they are equal."""
    one, other = Counter(_WORDS.findall(first.casefold())), Counter(_WORDS.findall(second.casefold()))
    if not one or not other:
        return float(first.strip() == second.strip())
    return 2 * (one & other).total() / (one.total() + other.total())


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if _is_object(item)] if _is_list(value) else []
