"""Decisions of the gateway: who answers, what is sent, and when to try again. All pure.

What it costs stands in `costing`, and is found here too.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from rondel.chat import Message
from rondel.errors import Invalid
from rondel.gateway.models import Arm, Capture, Fields, Head, Operation, ReleaseCall, Route
from rondel.identity.models import OwnerKind
from rondel.prompts.rules import render, variables_of
from rondel.telemetry.records import ArmStage

"""What of `costing` is found here; the names of this file itself need no list."""

RETRY_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
OUR_FAULT_STATUS = frozenset({401, 402, 403})
"""Statuses that say that our credentials at the provider are wrong: never the caller's business."""
FAILURES_TO_OPEN = 5
FIRST_REST_S = 1.0
LONGEST_REST_S = 30.0
BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 2.0

_fields = msgspec.json.Decoder(Fields)
_json = msgspec.json.Encoder()
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def internal_key(secret: bytes) -> str:
    """The key by which the gateway's workers know the server, derived from the installation's secret."""
    return hashlib.blake2b(secret, digest_size=32, person=b"rondel-internal").hexdigest()


# Who answers


def bucket(salt: str, unit: str) -> float:
    """Where `unit` falls in [0, 1): the same for ever, and uniform over units."""
    digest = hashlib.blake2b(f"{salt}\0{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Unit(msgspec.Struct, frozen=True, gc=False):
    """What sticky assignment goes by: a session, else a user, else the single request."""

    kind: str
    value: str


def unit_of(session: str, user: str, request_id: str) -> Unit:
    """A conversation stays with its release; without one the user does; else each request is drawn anew."""
    if session:
        return Unit("session", session)
    return Unit("user", user) if user else Unit("request", request_id)


class Choice(NamedTuple):
    """The arm that answers, and the shadows that get a copy."""

    arm: Arm
    shadows: tuple[Arm, ...]


def choose(route: Route, unit: str, request_id: str) -> Choice | None:
    """Pick the arms for one request; None when the route has no live release.

    A canary takes the units whose bucket under (salt, release) is below its share: raising the share only adds units,
    so nobody is moved back. Shadows draw by request.
    """
    live: Arm | None = None
    taken: Arm | None = None
    shadows: list[Arm] = []
    for arm in route.arms:
        if arm.stage is ArmStage.LIVE:
            live = live or arm
        elif arm.stage is ArmStage.SHADOW:
            if bucket(f"{route.salt}/{arm.release_id}", request_id) < arm.share:
                shadows.append(arm)
        elif taken is None and bucket(f"{route.salt}/{arm.release_id}", unit) < arm.share:
            taken = arm
    answering = taken or live
    return Choice(answering, tuple(shadows)) if answering else None


def is_captured(capture: Capture, share: float, request_id: str, *, failed: bool) -> bool:
    """Whether the record keeps the payloads."""
    match capture:
        case Capture.ALL:
            return True
        case Capture.SAMPLE:
            return bucket("capture", request_id) < share
        case Capture.ERRORS:
            return failed
        case Capture.NONE:
            return False


# What is sent


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Head(msgspec.Struct):
    model: str
    n: int | None = None
    best_of: int | None = None
    service_tier: str | None = None
    stream: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    stream_options: _StreamOptions | None = None


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """A message without a place for media."""

    role: msgspec.Raw = msgspec.Raw(b"")
    content: str | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_call_id: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw(b"")
    function_call: msgspec.Raw = msgspec.Raw(b"")


class _Chat(_Head):
    """A chat whose messages are texts, as most are: one pass then tells that it holds no media."""

    messages: list[_Said] | None = None


_NO_METADATA: Mapping[str, str] = {}
_head = msgspec.json.Decoder(_Head).decode
_chat = msgspec.json.Decoder(_Chat).decode
_PLACE = re.compile(r" - at `\$\.(\w+)")


def parse_fields(body: bytes) -> Fields:
    """The top level of a request body; of a name given twice the last value counts, and only that is sent on.

    Raises:
        Invalid: it is not a JSON object.
    """
    try:
        return _fields.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid('The body must be a JSON object, such as {"model": ..., "messages": [...]}.') from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise Invalid("The body's JSON is nested too deeply.") from error


def parse_head(body: bytes) -> Head:
    """What routing needs of a body that is a JSON object; wrong types are refused by name.

    Raises:
        Invalid: `model` is missing, or a field has the wrong type.
    """
    try:
        told = chat = _chat(body)
        is_text = bool(chat.messages)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told, is_text = _other_head(body), False
    return Head(
        told.model,
        told.stream or False,
        told.max_completion_tokens or told.max_tokens,
        told.user or "",
        told.metadata or _NO_METADATA,
        told.stream_options is not None and told.stream_options.include_usage,
        choices=max(told.n or 1, told.best_of or 1),
        service_tier=told.service_tier or "",
        is_text=is_text,
    )


def _other_head(body: bytes) -> _Head:
    """The head of what is no chat of texts.

    Raises:
        Invalid: as `parse_head`.
    """
    try:
        return _head(body)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        if place is None:
            raise Invalid("The field 'model' is missing: give the name of a route.") from error
        raise Invalid(f"The field {place[1]!r} is wrong: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise Invalid("The body's JSON is nested too deeply.") from error


def raw(value: object) -> msgspec.Raw:
    """A value as raw JSON."""
    return msgspec.Raw(_json.encode(value))


def assemble(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """The JSON object with these fields; every value as its bytes are."""
    return _json.encode(fields)


class _Turn(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


_turns = msgspec.json.Decoder(list[msgspec.Raw])
_turn = msgspec.json.Decoder(_Turn)
_content = msgspec.json.Decoder(str | list[_Part] | None)


def compose(call: ReleaseCall, fields: Fields, operation: Operation, variables: Mapping[str, str]) -> Fields:
    """Apply a release to the caller's fields: its prompt, then its parameters; every other field keeps its bytes.

    A prompt that names `{{ input }}` is filled with the caller's last user message, and stands in its place; the turns
    before it stay, without system messages, before the prompt's message that takes the input. Another prompt stands
    before all the caller's messages. `variables` fill the other names. Without prompt and parameters the same fields
    come back.

    Raises:
        Invalid: the messages are not messages, or the prompt needs a variable that is not given.
    """
    is_chat = bool(call.messages) and operation is Operation.CHAT
    if not is_chat and not call.parameters:
        return fields
    messages = {"messages": _with_prompt(call, fields, variables)} if is_chat else {}
    return {**fields, **messages, **call.parameters}


def _with_prompt(call: ReleaseCall, fields: Fields, variables: Mapping[str, str]) -> msgspec.Raw:
    prompt = [Message(message.role, message.content) for message in call.messages]
    turns = parse_turns(fields)
    if "input" not in variables_of(prompt):
        known = {**variables, "input": ""}  # not read here, but what a misspelt name could have meant
        rendered = [raw(_plain(message)) for message in render(prompt, known)]
        return raw([*rendered, *turns])
    position, text = last_user_text(turns)
    rendered = [raw(_plain(message)) for message in render(prompt, {**variables, "input": text})]
    at = next(index for index, message in enumerate(prompt) if "input" in variables_of([message]))
    history = [turn for turn in turns[:position] if _turn.decode(turn).role not in {"system", "developer"}]
    return raw([*rendered[:at], *history, *rendered[at:], *turns[position + 1 :]])


def parse_turns(fields: Fields) -> list[msgspec.Raw]:
    """The caller's messages, each with its bytes.

    Raises:
        Invalid: there are none, or they are no list.
    """
    try:
        return _turns.decode(fields["messages"])
    except KeyError:
        raise Invalid("The field 'messages' is missing: give a list of messages.") from None
    except msgspec.DecodeError as error:
        raise Invalid(f"The field 'messages' is wrong: {error}.") from error


def last_user_text(turns: Sequence[msgspec.Raw]) -> tuple[int, str]:
    """Where the last user message stands, and its text (text parts joined).

    Raises:
        Invalid: there is none, or it is not a message.
    """
    for position in range(len(turns) - 1, -1, -1):
        try:
            turn = _turn.decode(turns[position])
            if turn.role == "user":
                return position, text_of(turn.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"Message {position + 1} is wrong: {error}.") from error
    raise Invalid("The release's prompt takes the last user message as its input, and there is none.")


def text_of(content: msgspec.Raw) -> str:
    """The text of a message's content: a string, or the text parts of a list, joined."""
    value = _content.decode(content)
    if value is None:
        return ""
    return value if isinstance(value, str) else "".join(part.text for part in value if part.type == "text")


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def may_call(name: str, *, is_route: bool, routes: Sequence[str], models: Sequence[str]) -> bool:
    """Whether lists of routes and of patterns of models let `name` through; without any, all may be called."""
    if not routes and not models:
        return True
    return name in routes if is_route else any(fnmatchcase(name, pattern) for pattern in models)


def account_of(kind: OwnerKind, place: tuple[str, str], owner: str) -> str:
    """Under which name the limits of an owner in a project's environment stand in the workers' ledger."""
    return f"{kind.value}/{place[0]}/{place[1]}/{owner}"


# When to try again


def is_retried(status: int) -> bool:
    """Whether another try may help; 0 is a failed connection or a timeout."""
    return status == 0 or status in RETRY_STATUS or status in OUR_FAULT_STATUS


def pause_s(attempt: int, retry_after_s: float | None, draw: float) -> float:
    """Seconds before the try after number `attempt` (1, 2, ...): what the upstream asked for, else doubled with jitter.

    `draw` is uniform in [0, 1).
    """
    if retry_after_s is not None:
        return retry_after_s
    return min(BACKOFF_S * 2 ** (attempt - 1), LONGEST_BACKOFF_S) * (0.5 + draw / 2)


def parse_retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header; a date or nonsense is None."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None  # a day: nobody waits longer


def rest_s(openings: int) -> float:
    """How long a target rests after its `openings`-th ejection in a row: doubling, with a cap."""
    return min(FIRST_REST_S * 2 ** (openings - 1), LONGEST_REST_S)


# Addresses and headers


class Address(NamedTuple):
    """Where a connection leads; `path` has no slash at its end."""

    host: str
    port: int
    is_tls: bool
    path: str

    @property
    def authority(self) -> str:
        """The Host header: with the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, always with the port: what a secret is bound to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"


def parse_address(base_url: str) -> Address:
    """Take a base URL apart.

    Raises:
        Invalid: it is not an http(s) URL, or holds credentials, a query or a fragment.
    """
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"{base_url!r} is not a URL: {error}.") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid(f"{base_url!r} is not a URL: it has to begin with http:// or https:// and a host.")
    if parts.username or parts.password:
        raise Invalid("A base URL must not hold credentials: give the key as the connection's secret.")
    if parts.query or parts.fragment or any(sign in base_url for sign in "\r\n \t"):
        raise Invalid(f"{base_url!r} must end with a path: no query, fragment or space.")
    is_tls = parts.scheme == "https"
    return Address(parts.hostname, port or (443 if is_tls else 80), is_tls, parts.path.rstrip("/"))


class TraceParent(NamedTuple):
    """The caller's place in its trace."""

    trace_id: str
    span_id: str
    flags: int


def parse_traceparent(value: str) -> TraceParent | None:
    """Version 00 of https://www.w3.org/TR/trace-context/#traceparent-header; what does not fit is ignored."""
    found = _TRACEPARENT.fullmatch(value.strip())
    if not found or set(found[1]) == {"0"} or set(found[2]) == {"0"}:
        return None
    return TraceParent(found[1], found[2], int(found[3], 16))
