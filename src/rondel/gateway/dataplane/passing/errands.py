"""From a request to what is to be passed on: where to, with which body, for which model, and what is reserved."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol, cast

import msgspec

from rondel.errors import Forbidden, Invalid, NotFound, RondelError, TooLarge, Unavailable, did_you_mean
from rondel.gateway.costing import Estimate, Load, load_of
from rondel.gateway.dataplane.asking import Entry
from rondel.gateway.dataplane.breaking import Breaker
from rondel.gateway.dataplane.passing.forms import Form, boundary_of
from rondel.gateway.dataplane.passing.heads import find, onward
from rondel.gateway.dataplane.passing.lines import Headers, PassEndpoint, beside
from rondel.gateway.dataplane.passing.money import reserve
from rondel.gateway.dataplane.passing.naming import Named
from rondel.gateway.dataplane.request import Request
from rondel.gateway.dataplane.upstream import Endpoint
from rondel.gateway.dataplane.ways import Candidate, Lane, Ways
from rondel.gateway.dataplane.wire import Answer, error_answer
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.models import Connection, Fields, Operation, Route, VirtualKey
from rondel.gateway.ports import Capability, Signing
from rondel.gateway.rules import assemble, parse_fields, raw, unit_of
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import Passed

OPERATION = "pass"
LOOK_LIMIT = 256 * 1024
"""Bytes of a form in which its model has to be named: fields come before files, as the clients send them."""
BODIED = frozenset({"POST", "PUT", "PATCH"})
REPEATABLE = frozenset({"GET", "HEAD"})
_text = msgspec.json.Decoder(str).decode
_count = msgspec.json.Decoder(int).decode


class Answers(Protocol):
    """Reads, and where it must changes, an answer that goes by."""

    @property
    def rewrites(self) -> bool:
        """Whether the body may come out in another length."""
        ...

    def head(self, status: int, headers: Headers) -> Headers:
        """The headers for the caller."""
        ...

    def feed(self, data: bytes) -> bytes:
        """A piece of the body for the caller."""
        ...

    def end(self) -> bytes:
        """The last piece."""
        ...

    def error(self) -> tuple[str, str]:
        """The kind and the sentence of an error that a good status hides; empty when there is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What is passed on, where to, and what stands behind it."""

    endpoint: PassEndpoint
    breaker: Breaker
    method: str
    target: str
    headers: Headers
    held: tuple[bytes, ...] = ()
    """Of the body, what was read so far, as it goes on."""
    length: int | None = None
    """Of the whole body; less than 0 when there is none, None when it comes in chunks."""
    form: Form | None = None
    """Reads what comes behind."""
    route: Route
    release_id: str = ""
    release_digest: str = ""
    model_requested: str = ""
    model: str = ""
    price: ModelPrice | None = None
    guess: Estimate
    passed: Passed
    operation: str = OPERATION
    user: str = ""
    session: str = ""
    family: str = ""
    answers: Answers | None = None
    is_json: bool = False
    """Whether the request's body may be kept in the record."""
    is_light: bool = False
    """Whether it takes no place among the requests at once: a stream that only listens, a notification."""

    @property
    def is_repeatable(self) -> bool:
        """Whether it changes nothing, so that it may be sent twice."""
        return self.method in REPEATABLE and not self.held and self.length is not None and self.length < 1


class Reading(Protocol):
    """Reads of a request what is needed to know where it goes."""

    passed: Passed

    def head(self) -> Errand | None:
        """By its head alone; None when the body has to be read."""
        ...

    def feed(self, data: bytes) -> Errand | None:
        """By its body so far."""
        ...

    def end(self) -> Errand:
        """By the whole."""
        ...

    def told(self, error: RondelError, retry_after_s: float | None) -> Answer:
        """An error as its callers read it."""
        ...


@dataclass
class ProviderReading:
    """Reads a request for a provider. What it raises are errors of ours, each with its sentence."""

    worker: Worker
    ways: Ways
    entry: Entry
    request: Request
    named: Named
    request_id: str
    passed: Passed = field(init=False)
    _held: list[bytes] = field(default_factory=list[bytes])
    _size: int = 0
    _form: Form | None = None
    _is_gathered: bool = False

    def __post_init__(self) -> None:
        self.method = self.request.method.decode("latin-1")
        self.passed = Passed(self.method, self.named.template)
        self._kind = find(self.request.headers, b"content-type").lower()
        self._chosen = self.named.connection or find(self.request.headers, b"x-rondel-connection").decode("latin-1")

    def told(self, error: RondelError, retry_after_s: float | None) -> Answer:
        """In OpenAI's shape."""
        code = "model_not_found" if isinstance(error, NotFound) else ""
        return error_answer(error, code=code, retry_after_s=retry_after_s)

    def head(self) -> Errand | None:
        """A request without a body, or one whose body says nothing, goes by its connection."""
        names_model = not self.named.connection and self.method in BODIED
        if names_model and self._kind.startswith(b"application/json"):
            if find(self.request.headers, b"content-encoding").lower() not in {b"", b"identity"}:
                raise Invalid("Send the body uncompressed: the model has to be read from it.")
            self._is_gathered = True
            return None
        if names_model and self._kind.startswith(b"multipart/form-data"):
            self._form = Form(boundary_of(find(self.request.headers, b"content-type").decode("latin-1")))
            return None
        endpoint = self._endpoint()
        if Capability.SIGNED in endpoint.provider.capabilities:
            self._is_gathered = True
            return None
        return self._by_connection(endpoint)

    def feed(self, data: bytes) -> Errand | None:
        """Hold it; a form is enough once it named its model."""
        self._held.append(data)
        self._size += len(data)
        if self._size > self.worker.body_limit and self._is_gathered:
            raise TooLarge(f"A body that has to be read whole is larger than {self.worker.body_limit:,} bytes.")
        form = self._form
        if form is None:
            return None
        form.feed(data)
        if form.model is not None:
            return self._by_form(form)
        return self._by_connection(self._endpoint()) if self._size > LOOK_LIMIT else None

    def end(self) -> Errand:
        """It is whole."""
        body = b"".join(self._held)
        if self._form is not None or self.named.connection or not self._is_gathered:
            return self._by_connection(self._endpoint())
        fields = parse_fields(body) if body else {}
        if "model" in fields:
            return self._by_json(fields)
        return self._by_connection(self._endpoint())

    # By the model

    def _by_json(self, fields: Fields) -> Errand:
        try:
            model = _text(fields["model"])
        except msgspec.DecodeError as error:
            raise Invalid("The field 'model' must be text: a route, or connection/model.") from error
        lane, candidate, user = self._lane(model, _word(fields, "user"))
        target = candidate.target
        told = {**fields, **candidate.release.parameters, **target.body, "model": raw(target.model)}
        body = assemble(told)
        pictures = max(_number(fields, "n") or 1, 1) if self.named.family == "images" else 0
        limit = _number(fields, "max_output_tokens") or _number(fields, "max_tokens")
        guess = reserve(target.price, load_of(body), max_tokens=limit, pictures=pictures)
        return self._errand(lane, candidate, model, guess, user, [body], len(body))

    def _by_form(self, form: Form) -> Errand:
        place = form.model
        if place is None or not place.value:
            raise Invalid("The form's field 'model' is empty: give a route, or connection/model.")
        lane, candidate, user = self._lane(place.value, "")
        target = candidate.target
        body = b"".join(self._held)
        new = target.model.encode()
        body = body[: place.begin] + new + body[place.end :]
        length = self.request.content_length
        if length is not None:
            length += len(new) - (place.end - place.begin)
        size = self.worker.body_limit if length is None else length
        pictures = 1 if self.named.family == "images" else 0
        guess = reserve(target.price, Load(0, 1, size), pictures=pictures)
        return self._errand(lane, candidate, place.value, guess, user, [body], length)

    def _lane(self, model: str, user: str) -> tuple[Lane, Candidate, str]:
        """Who answers for a model: the first target, for nothing is tried twice."""
        name = f"{self._chosen}/{model}" if self._chosen else model
        entry = self.entry
        user = user or entry.user
        unit = unit_of(entry.session, user, self.request_id)
        lane = self.ways.find(entry.key, name).take(unit.value, self.request_id).lane
        if lane.refusal:
            raise Unavailable(lane.refusal)
        if lane.guards:
            raise Forbidden(f"{name!r} has guardrails, and what is passed on is not read: use a route without them.")
        if not lane.candidates:
            raise Unavailable(f"No target of {name!r} can be called: {' '.join(lane.problems) or 'it has none.'}")
        return lane, lane.candidates[0], user

    def _errand(
        self,
        lane: Lane,
        candidate: Candidate,
        model: str,
        guess: Estimate,
        user: str,
        held: list[bytes],
        length: int | None,
    ) -> Errand:
        target, key = candidate.target, self.entry.key
        endpoint = beside(candidate.endpoint, self.worker.now)
        path, headers = self._onward(endpoint, b"".join(held))
        route = self.ways.find(key, f"{self._chosen}/{model}" if self._chosen else model).route
        return Errand(
            endpoint=endpoint,
            breaker=candidate.breaker,
            method=self.method,
            target=path,
            headers=headers,
            held=tuple(held),
            length=length,
            form=self._form,
            route=route,
            release_id=lane.told,
            release_digest=lane.release.digest,
            model_requested=model,
            model=target.model,
            price=target.price,
            guess=guess,
            passed=self.passed,
            user=user,
            session=self.entry.session,
            family=self.named.family,
            is_json=self._form is None,
        )

    # By the connection

    def _endpoint(self) -> Endpoint:
        """The one that is named, or the only one that has such endpoints."""
        plan, key = self.ways.plan, self.entry.key
        known = {one.name: one for one in plan.snapshot.connections if _is_theirs(key, one)}
        if self._chosen:
            found = known.get(self._chosen)
            if found is None or self._chosen.startswith("mcp/"):
                near = did_you_mean(self._chosen, [one for one in known if "/" not in one])
                raise NotFound(f"There is no connection {self._chosen!r}. {near}")
            if not may_pass(key, found.name):
                raise Forbidden(
                    f"The key may not pass requests to connection {found.name!r}: it is for what its lists name. "
                    "'rondel gateway limit KEY --connection NAME' lets it."
                )
        else:
            found = self._only([one for one in known.values() if "/" not in one.name and may_pass(key, one.name)])
        endpoint = plan.endpoint(found.id)
        if endpoint is None:
            told = " ".join(one for one in plan.problems if found.name in one)
            raise Unavailable(f"Connection {found.name!r} does not work. {told}".rstrip())
        return endpoint

    def _only(self, known: Sequence[Connection]) -> Connection:
        plan = self.ways.plan
        speaking = [one for one in known if (made := plan.endpoint(one.id)) and _speaks(made)]
        if len(speaking) == 1:
            return speaking[0]
        if not speaking:
            raise Forbidden("The key may pass this to no connection: it needs one that speaks OpenAI's dialect.")
        names = ", ".join(sorted(one.name for one in speaking))
        raise Invalid(
            f"It is not clear which connection this is for: send the header x-rondel-connection with one of {names}."
        )

    def _by_connection(self, endpoint: Endpoint) -> Errand:
        form, key, request = self._form, self.entry.key, self.request
        made = beside(endpoint, self.worker.now)
        body = b"".join(self._held)
        length = len(body) if self._is_gathered else request.content_length
        if length is None and not request.is_chunked:
            length = -1 if self.method not in BODIED else 0
        path, headers = self._onward(made, body)
        return Errand(
            endpoint=made,
            breaker=endpoint.breaker(f"({OPERATION})"),
            method=self.method,
            target=path,
            headers=headers,
            held=(body,) if body else (),
            length=length,
            form=form,
            route=no_route(key),
            guess=reserve(None, Load(0), is_model=False),
            passed=self.passed,
            user=self.entry.user,
            session=self.entry.session,
            family=self.named.family,
            is_json=self._kind.startswith(b"application/json"),
        )

    def _onward(self, endpoint: PassEndpoint, body: bytes) -> tuple[str, Headers]:
        """The target as the server sees it, and the headers that go there."""
        query = f"?{self.named.query}" if self.named.query else ""
        target = f"{endpoint.address.path}{self.named.rest}{query}"
        headers = onward(self.request.headers, endpoint.headers)
        if Capability.SIGNED in endpoint.provider.capabilities:
            signing = cast("Signing", endpoint.provider)
            at_s = self.worker.now_ns() / 1e9
            signed = signing.signature(target, endpoint.address.authority, body, endpoint.secret, at_s)
            if signed and self.method != "POST":
                raise Invalid("A provider whose requests are signed takes POST alone here: use a key that is no pair.")
            headers += [(name.lower().encode(), value.encode()) for name, value in signed]
        return target, headers


def may_pass(key: VirtualKey, connection: str) -> bool:
    """Whether a key may pass anything to a connection: by its lists and by its team's; one with other lists may not."""
    own = _lets(connection, key.connections, is_listed=bool(key.routes or key.models))
    return own and _lets(connection, key.team_connections, is_listed=bool(key.team_routes or key.team_models))


def _lets(name: str, patterns: tuple[str, ...], *, is_listed: bool) -> bool:
    return any(fnmatchcase(name, one) for one in patterns) if patterns else not is_listed


def _is_theirs(key: VirtualKey, connection: Connection) -> bool:
    return (connection.project_id, connection.environment) == (key.project_id, key.environment)


def _speaks(endpoint: Endpoint) -> bool:
    return Operation.CHAT in endpoint.provider.operations


def no_route(key: VirtualKey) -> Route:
    """What holds where no route is named: the defaults."""
    return Route(name="", project_id=key.project_id, environment=key.environment, arms=())


def _word(fields: Fields, name: str) -> str:
    try:
        return _text(fields[name]) if name in fields else ""
    except msgspec.DecodeError:
        return ""


def _number(fields: Fields, name: str) -> int | None:
    try:
        return _count(fields[name]) if name in fields else None
    except msgspec.DecodeError:
        return None
