"""One request's way through the cache.

look up -> given
   | not there: is the same request under way?  -> wait for its answer -> given, or on by itself
   | no: lead, and ask what machines share      -> given
   | not there: look for a near one             -> given, or (a share of them) checked by asking the model
   v
ask the model -> keep its answer, and give it to all who wait
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from rondel.chat import Message
from rondel.errors import RondelError
from rondel.gateway.caching import (
    Directive,
    Kept,
    Question,
    Wish,
    agree,
    is_fresh,
    keeper_of,
    kept_of,
    mark_of,
    owner_of,
    place_of,
    question_of,
)
from rondel.gateway.dataplane.cache.answers import Answers, Sought, knows
from rondel.gateway.dataplane.cache.ports import Filed
from rondel.gateway.models import (
    CacheMode,
    CacheSettings,
    Connection,
    GuardRule,
    ReleaseCall,
    Route,
)
from rondel.prompts.rules import variables_of
from rondel.telemetry.records import GuardVerdict

FLIGHT_S = 30.0
"""How long a request waits for the same one that is under way before it goes by itself."""
LOOK_S = 0.5
"""How long it waits for what is near."""


class NotCached(RondelError):
    """The caller wants an answer only if it is kept, and none is (RFC 9111, 5.2.1.7)."""

    status = 504
    code = "not_cached"


class CacheRule(msgspec.Struct, frozen=True, gc=False):
    """What the cache has to know of one release on one route, worked out once.

    `variables` are the metadata that its prompt is filled with; `release` answers, and no fallback's answer is kept.
    """

    settings: CacheSettings
    mark: bytes
    place: bytes
    purged: str
    """The orders to forget that it knows of."""
    variables: tuple[str, ...]
    release: ReleaseCall


def rule_of(
    settings: CacheSettings,
    route: Route,
    release: ReleaseCall,
    connections: Sequence[Connection],
    guards: Sequence[GuardRule],
) -> CacheRule:
    """The rule of a release on a route that keeps answers; `connections` are those of the release's own targets."""
    names = variables_of([Message(message.role, message.content) for message in release.messages])
    mark = mark_of(route, release, connections, guards)
    place = place_of(route.project_id, route.environment, route.name)
    return CacheRule(settings, mark, place, knows(route), tuple(sorted(set(names) - {"input"})), release)


class Asker(Protocol):
    """The request itself, which does what its way comes to."""

    def go_on(self) -> None:
        """Ask the model."""
        ...

    def give(self, kept: Kept) -> None:
        """Answer with this."""
        ...

    def refuse(self, error: RondelError) -> None:
        """Answer with an error."""
        ...

    def hang_up(self) -> None:
        """Nobody waits for its answer any more."""
        ...


class Flight:
    """The same request, asked by several at once: one of them asks the model."""

    __slots__ = ("followers", "leader")

    def __init__(self, leader: "Seeking") -> None:
        self.leader = leader
        self.followers: list[Seeking] = []


class Flights:
    """Those of one worker, and what its requests need of it beside them."""

    def __init__(self, answers: Answers, now: Callable[[], float], draw: Callable[[], float]) -> None:
        self.answers, self.now, self.draw = answers, now, draw
        self.known: dict[bytes, Flight] = {}

    def ask(self, asker: Asker, rule: CacheRule, wish: Wish) -> "Seeking | None":
        """A request's way through the cache; None for one that has none."""
        if wish.wants is Directive.NO_STORE:
            return None
        settings = rule.settings
        variables = {name: wish.metadata.get(name) for name in rule.variables}
        owner = owner_of(settings.scope, wish.key, wish.user)
        is_semantic = settings.mode is CacheMode.SEMANTIC
        question = question_of(rule.mark, owner, wish.operation, wish.fields, variables, is_semantic=is_semantic)
        return None if question is None else Seeking(self, asker, rule, wish, question, keeper_of(owner))


class Seeking:
    """The way of one request. `word` is what its record and its answer tell."""

    word = "miss"
    age_s: int | None = None
    is_given = False
    is_left = False
    """Its own caller is gone, and it goes on for the others."""
    _flight: Flight | None = None
    """The one it waits for or leads."""
    _until: float | None = None
    """When it waits no longer."""
    _vector = b""
    _checked: Kept | None = None
    """What would have been given, had it not been drawn for a check."""
    _given: Kept | None = None
    _is_over = False

    def __init__(
        self, flights: Flights, asker: Asker, rule: CacheRule, wish: Wish, question: Question, keeper: bytes
    ) -> None:
        self._flights, self._asker, self._rule, self._question = flights, asker, rule, question
        self._keeper = keeper
        self._wants, self._operation = wish.wants, wish.operation

    def begin(self) -> None:
        """Answer at once, wait, or go on."""
        wants, key, known = self._wants, self._question.key, self._flights.known
        if wants is not Directive.REFRESH:
            kept = self._fresh(key)
            if kept is not None:
                self._give(kept, "hit")
                return
            flight = known.get(key)
            if flight is not None and wants is not Directive.ONLY_IF_CACHED:
                self._flight, self._until = flight, self._flights.now() + FLIGHT_S
                flight.followers.append(self)
                return
        if key not in known and wants is not Directive.ONLY_IF_CACHED:
            self._flight = known[key] = Flight(self)
        if wants is Directive.REFRESH:
            self._miss()
            return
        others = self._flights.answers.others
        if others is None or not others.find(key, self._shared):
            self._look_near()

    def check(self, now: float) -> None:
        """Wait no longer than is bearable."""
        if self._until is not None and now >= self._until and not self._is_over:
            if not self._leads:
                self._leave()
            self._miss()

    def leave_to_others(self) -> bool:
        """Its caller is gone: whether it goes on, for others who wait for its answer."""
        flight = self._flight
        self.is_left = flight is not None and flight.leader is self and bool(flight.followers)
        return self.is_left

    def headers(self) -> bytes:
        """What the answer tells of it."""
        word = self.word if self.is_given else "miss"
        age = f"age: {self.age_s}\r\n" if self.age_s is not None else ""
        return f"x-rondel-cache: {word}\r\n{age}".encode()

    def over(self, body: bytes, verdicts: tuple[GuardVerdict, ...], release: ReleaseCall | None) -> None:
        """The request has ended: with a good answer of `release`, or without one (`body` empty)."""
        if self._is_over:
            return
        self._is_over = True
        kept = self._given
        if kept is None and body:
            kept = kept_of(self._operation, body, verdicts, self._flights.answers.now_ns())
            if kept is not None and release is not self._rule.release:
                kept = None
            if kept is not None:
                self._keep(kept)
        flight, leads = self._flight, self._leads
        if flight is None:
            return
        if not leads:
            self._leave()
            return
        self._flight = None
        self._flights.known.pop(self._question.key, None)
        for follower in flight.followers:
            follower.land(kept)

    def land(self, kept: Kept | None) -> None:
        """The flight that it waited for is over; without an answer that can be shared it goes by itself."""
        self._flight = None
        if kept is None:
            self._miss()
        else:
            self._give(kept, "joined")

    @property
    def _leads(self) -> bool:
        return self._flight is not None and self._flight.leader is self

    def _fresh(self, key: bytes) -> Kept | None:
        kept = self._flights.answers.find(key)
        is_good = kept is not None and is_fresh(kept, self._rule.settings, self._flights.answers.now_ns())
        return kept if is_good else None

    def _shared(self, kept: Kept | None) -> None:
        """What another machine kept is known, or nobody could tell."""
        if self._is_over:
            return
        if kept is None or not is_fresh(kept, self._rule.settings, self._flights.answers.now_ns()):
            self._look_near()
            return
        self._flights.answers.keep(self._filed(kept), self._question.text, is_new=False)
        self._give(kept, "hit")

    def _look_near(self) -> None:
        if self._question.group:
            self._until = self._flights.now() + LOOK_S
            self._flights.answers.seek(self._question, self._rule.settings.floor, self._found)
        else:
            self._miss()

    def _found(self, sought: Sought) -> None:
        """What is near is known."""
        self._vector = sought.vector
        if self._until is None or self._is_over:
            return  # it took too long, or nobody waits any more
        kept = next((kept for near in sought.near if (kept := self._fresh(near.key)) is not None), None)
        if kept is None:
            self._miss()
        elif self._flights.draw() < self._rule.settings.check_share and self._wants is Directive.NONE:
            self._checked = kept
            self._miss()
        else:
            self._give(kept, "semantic")

    def _miss(self) -> None:
        self._until = None
        if self._wants is Directive.ONLY_IF_CACHED:
            self._asker.refuse(NotCached("No answer to this request is kept, and the caller wants no other."))
        else:
            self._asker.go_on()

    def _give(self, kept: Kept, word: str) -> None:
        self._until = None
        self.word, self.is_given, self._given = word, True, kept
        self.age_s = max(0, int(kept.age_s(self._flights.answers.now_ns())))
        self._asker.give(kept)

    def _keep(self, kept: Kept) -> None:
        if self._checked is not None:
            self.word = "agreed" if agree(self._checked.whole(""), kept.whole("")) else "differed"
        self._flights.answers.keep(self._filed(kept), self._question.text)

    def _filed(self, kept: Kept) -> Filed:
        rule, question, settings = self._rule, self._question, self._rule.settings
        return Filed(
            rule.place,
            question.key,
            kept,
            settings.max_bytes,
            settings.ttl_s,
            question.group,
            self._vector,
            self._keeper,
            rule.purged,
        )

    def _leave(self) -> None:
        """It waits no more for a flight; where nobody does, and the leader's own caller is gone, that ends too."""
        flight, self._flight = self._flight, None
        if flight is None or self not in flight.followers:
            return
        flight.followers.remove(self)
        flight.leader.left_by_one()

    def left_by_one(self) -> None:
        """Somebody waits no more for the answer; nobody at all, perhaps."""
        if self.is_left:
            self._asker.hang_up()
