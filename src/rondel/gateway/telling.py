"""A route's policy in words, for whoever reads what was set. All pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rondel.gateway.models import (
    CacheMode,
    CacheScope,
    CacheSettings,
    Capture,
    OnFailure,
    PlainTarget,
    RouteGuard,
    RouteSettings,
)
from rondel.gateway.routing import Affinity, Cascade, Hedge, Policy, RouteRule, When

_POLICIES = {
    Policy.ORDER: "the first target, and the next one when it fails",
    Policy.LEAST_BUSY: "the target with the fewest requests under way",
    Policy.FASTEST: "the better of two drawn at random, by their time to the first byte and their load",
    Policy.CHEAPEST: "the target at which the request costs least; unknown prices last",
}
_AFFINITIES = {Affinity.SESSION: "A session", Affinity.USER: "A user"}
_SCOPES = {
    CacheScope.USER: "one end user of a key",
    CacheScope.KEY: "one key",
    CacheScope.TEAM: "one team",
    CacheScope.PROJECT: "the project",
}
_FAILURES = {
    OnFailure.PASS: "the answer passes with a verdict",
    OnFailure.RETRY: "the answer is asked again",
    OnFailure.ERROR: "the answer is refused",
}
_CAPTURES = {
    Capture.ALL: "of all requests",
    Capture.ERRORS: "of requests that fail",
    Capture.NONE: "of none",
}
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


class Clause(NamedTuple):
    """One part of a policy: what it is about, and a sentence. `field` is where the API has it."""

    subject: str
    field: str
    text: str


def policy_told(settings: RouteSettings, *, has_release: bool = False) -> tuple[Clause, ...]:
    """What is set on a route and not simply off, but for the releases behind it.

    With a live release the policy is over that one's targets, whose weights are its own.
    """
    return tuple(_clauses(settings, has_release))


def _clauses(settings: RouteSettings, has_release: bool) -> Iterator[Clause]:
    for place, rule in enumerate(settings.rules):
        yield Clause(f"Rule {place + 1}", f"rules.{place}", f"{_rule(rule)}.")
    if settings.cache is not None:
        yield Clause("Cache", "cache", f"{_cache(settings.cache)}.")
    if settings.cascade is not None:
        yield Clause("Cascade", "cascade", f"{_cascade(settings.cascade)}.")
    else:
        yield Clause("Asks first", "policy", f"{_capital(_policy(settings, has_release))}.")
    if settings.affinity is not Affinity.NONE:
        who = _AFFINITIES[settings.affinity]
        yield Clause("Affinity", "affinity", f"{who} stays with its target while that is well.")
    if settings.hedge is not None:
        yield Clause("Hedging", "hedge", f"{_hedge(settings.hedge)}.")
    for place, guard in enumerate(settings.guardrails):
        yield Clause("Guardrail", f"guardrails.{place}", f"{guard_told(guard)}.")
    limits = settings.timeouts
    yield Clause(
        "Tries",
        "attempts",
        f"At most {settings.attempts} in all; given up after {seconds_told(limits.connect_s)} to connect, "
        f"{seconds_told(limits.first_byte_s)} without a first byte, {seconds_told(limits.idle_s)} between bytes, "
        f"{seconds_told(limits.total_s)} in all. At most {100 * settings.resting_share:.3g} % of the targets rest.",
    )
    yield Clause("Payloads", "capture", f"{_capture(settings)}.")


def _policy(settings: RouteSettings, has_release: bool) -> str:
    targets = [settings.target, *settings.spares] if settings.target else [*settings.spares]
    if settings.policy is not Policy.WEIGHTS:
        return _POLICIES[settings.policy]
    whole = sum(target.weight for target in targets)
    if has_release or not whole:
        return "one drawn by the weights of the targets"
    return "one drawn by weight: " + ", ".join(_weighed(target, whole) for target in targets)


def _weighed(target: PlainTarget, whole: float) -> str:
    name = f"{target.connection}/{target.model}"
    return f"{name} {100 * target.weight / whole:.3g} %" if target.weight else f"{name} only stands in"


def _rule(rule: RouteRule) -> str:
    return f"When {_joined(list(_conditions(rule.when)))}: {rule.use}"


def _conditions(when: When) -> Iterator[str]:
    for what, patterns in (("header", when.headers), ("metadata", when.metadata)):
        yield from (f"{what} {name} is {pattern}" for name, pattern in patterns.items())
    if when.weekdays or when.hours:
        days = f"on {_joined([day.value.capitalize() for day in when.weekdays])}" if when.weekdays else ""
        yield " ".join(filter(None, ("it is", when.hours.replace("-", " to "), days, f"({when.zone})")))
    if when.tokens_over is not None:
        yield f"the prompt has more than {when.tokens_over:,} tokens"
    if when.tokens_under is not None:
        yield f"the prompt has fewer than {when.tokens_under:,} tokens"


def _cache(cache: CacheSettings) -> str:
    kept = f"is answered again for {seconds_told(cache.ttl_s)}, within {_SCOPES[cache.scope]}"
    if cache.mode is CacheMode.EXACT:
        return f"The very same request {kept}"
    return (
        f"A request of the same meaning (similarity {cache.floor:g} and more) {kept}; "
        f"{100 * cache.check_share:.3g} % of such hits are checked by asking the model"
    )


def _cascade(cascade: Cascade) -> str:
    reasons = [f"it ends by {_joined(list(cascade.finish_reasons), 'or')}"] if cascade.finish_reasons else []
    if cascade.is_refused:
        reasons.append("a guardrail refuses it")
    if cascade.is_no_json:
        reasons.append("it is no JSON where JSON was asked for")
    if cascade.shorter_than:
        reasons.append(f"it is shorter than {cascade.shorter_than:,} characters")
    if cascade.pattern:
        reasons.append(f"it matches {cascade.pattern}")
    if cascade.judge is not None:
        reasons.append(f"route {cascade.judge.route}, asked as a judge, finds it not good enough")
    first = "The first target answers"
    return f"{first}; the next one is asked when {_joined(reasons, 'or')}" if reasons else first


def _hedge(hedge: Hedge) -> str:
    after = "its 95th percentile" if hedge.after_s is None else seconds_told(hedge.after_s)
    return f"A second target is asked when the first has not begun to answer after {after}"


def guard_told(guard: RouteGuard) -> str:
    """A guardrail in words: on what it looks, and what happens then."""
    where = [word for is_on, word in ((guard.on_input, "the question"), (guard.on_output, "the answer")) if is_on]
    looks = _joined(where) if where else "nothing"
    return f"{guard.check} looks at {looks}; where it finds something, {_FAILURES[guard.on_failure]}"


def _capture(settings: RouteSettings) -> str:
    if settings.capture is Capture.SAMPLE:
        whose = f"of {100 * settings.capture_share:.3g} % of requests"
    else:
        whose = _CAPTURES[settings.capture]
    most = "" if settings.capture is Capture.NONE else f", up to {settings.capture_limit:,} bytes each"
    return f"Kept {whose}{most}"


def seconds_told(seconds: float) -> str:
    """`1 hour`, `90 s`, `0.5 s`."""
    for size, unit in _UNITS:
        if seconds >= size and not seconds % size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:g} s"


def _joined(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
