"""What a connection or a route has to be, whoever sets it: the API, a file, an import."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rondel.errors import Invalid, RondelError
from rondel.gateway.models import RouteGuard, RouteSettings
from rondel.gateway.picking import parse_hours, time_zone
from rondel.gateway.providing import frozen, provider_of
from rondel.gateway.routing import Affinity, Policy, RouteRule, When
from rondel.gateway.rules import parse_address
from rondel.gateway.secrets.ports import SECRETS
from rondel.gateway.secrets.rules import parse_reference
from rondel.guardrails.ports import GUARDRAILS

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key", "cookie", "proxy-authorization"})
OPERATIONS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/messages")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


def check_name(kind: str, name: str) -> None:
    """Refuse what cannot be written in a `model` field or a path.

    Raises:
        Invalid: it is no name.
    """
    if not NAME.fullmatch(name):
        raise Invalid(f"{name!r} cannot name a {kind}: use up to 100 letters, digits, '.', '_', ':' and '-'.")


def check_connection(
    name: str, provider: str, base_url: str, secret: str, headers: Mapping[str, str], options: Mapping[str, object]
) -> None:
    """Refuse what cannot work or would give a secret away.

    Raises:
        NotFound: no provider is called so.
        Invalid: the name, the URL, the secret's reference, a header or an option is wrong.
    """
    check_connection_name(name)
    check_base_url(base_url)
    default_url(provider, base_url, options)
    check_secret(secret)
    for header, value in headers.items():
        check_header(header, value)


def check_connection_name(name: str) -> None:
    """Refuse what cannot name a connection.

    Raises:
        Invalid: it is no name, or has another meaning.
    """
    check_name("connection", name)
    if name == "local":
        raise Invalid("The name 'local' stands for the models that are served here: choose another.")


def check_base_url(base_url: str) -> None:
    """Refuse an address with an operation behind it, to which each request would add its own once more.

    Raises:
        Invalid: the sentence says what to write.
    """
    address = base_url.rstrip("/")
    for operation in OPERATIONS:
        if address.endswith(operation):
            rest = address.removesuffix(operation)
            raise Invalid(f"A base URL ends before the operation: write {rest!r}, without {operation!r}.")


def check_secret(secret: str) -> None:
    """Refuse what is no reference, and what could give away another thing than a model provider's key.

    Raises:
        Invalid: it is another thing.
        Unavailable: its kind needs a library that is not installed.
    """
    if secret:
        reference = parse_reference(secret, [kind.name for kind in SECRETS.list()])
        SECRETS.get(reference.kind)().check(reference.name, reference.field)


def check_header(name: str, value: str) -> None:
    """Refuse what would break the request's head.

    Raises:
        Invalid: name or value cannot stand in one.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not value.isprintable():
        raise Invalid(f"{name!r} with its value is no header.")
    if "${" in value:
        raise Invalid(f"Header {name!r} is sent as it is: variables are taken in 'secret' only.")


def check_route(name: str, settings: RouteSettings) -> None:
    """Refuse a name that is none, guardrails that are not there or do not take their options, and policies that no
    request could go by.

    Raises:
        NotFound: a guardrail is not known.
        Invalid: the name or an option is wrong.
    """
    check_name("route", name)
    check_guards(settings.guardrails)
    for path, step in routing_steps(settings):
        at(path, step)


def at(path: Sequence[str | int], step: Callable[[], object]) -> None:
    """Take a step of checking whose errors then say which place of the request they are about.

    Raises:
        RondelError: what the step raises, with its place.
    """
    try:
        step()
    except RondelError as error:
        error.param = ".".join([*map(str, path), *([error.param] if error.param else [])])
        raise


def check_guards(guards: Sequence[RouteGuard]) -> None:
    """Refuse guardrails that are not there or do not take their options.

    Raises:
        NotFound: a guardrail is not known.
        Invalid: an option is wrong.
    """
    for position, guard in enumerate(guards):
        at(("guardrails", position), lambda guard=guard: check_guard(guard.check, guard.options))


def routing_steps(settings: RouteSettings) -> Iterator[tuple[tuple[str | int, ...], Callable[[], object]]]:
    """What about a route's policy is to be checked, with the places in it; each step raises Invalid."""
    for position, rule in enumerate(settings.rules):
        yield ("rules", position), lambda rule=rule: check_rule(rule)
    targets = [settings.target, *settings.spares] if settings.target else []
    if settings.policy is not Policy.ORDER and targets:
        yield ("policy",), lambda: check_weights([one.weight for one in targets])
    if settings.cascade is not None:
        pattern = settings.cascade.pattern
        yield ("cascade", "pattern"), lambda: check_pattern(pattern)
        yield ("cascade",), lambda: check_cascade(settings)


def check_rule(rule: RouteRule) -> None:
    """Refuse a condition that cannot be read, looks at secrets, or holds always.

    Raises:
        Invalid: the sentence says what.
    """
    when = rule.when
    if when == When(zone=when.zone):
        raise Invalid("A rule without a condition always holds: make what it uses the route's target.")
    for name in when.headers:
        if not re.fullmatch(r"[a-z0-9-]+", name):
            raise Invalid(f"{name!r} is no header in lower case.", param="when.headers")
        if name in _SECRET_HEADERS:
            raise Invalid(f"A rule cannot look at the header {name!r}: it holds a secret.", param="when.headers")
    if when.hours:
        at(("when", "hours"), lambda: parse_hours(when.hours))
    at(("when", "zone"), lambda: time_zone(when.zone))
    if not rule.use or rule.use.startswith("/") or rule.use.endswith("/"):
        raise Invalid("A rule uses connection/model, or the name of a route or of a release.", param="use")


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights by which nothing can be drawn.

    Raises:
        Invalid: all are 0.
    """
    if not any(weights):
        raise Invalid("All weights are 0: give at least one target a weight.")


def check_pattern(pattern: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        Invalid: it is none.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise Invalid(f"{pattern!r} is no regular expression: {error}.") from error


def check_cascade(settings: RouteSettings) -> None:
    """Refuse a cascade beside what would put another target before its first.

    Raises:
        Invalid: both are set.
    """
    if settings.hedge is not None or settings.policy is not Policy.ORDER or settings.affinity is not Affinity.NONE:
        raise Invalid("A cascade asks its targets in their order: leave out 'policy', 'affinity' and 'hedge'.")


def check_guard(check: str, options: Mapping[str, object]) -> None:
    """Refuse a guardrail that is not there or does not take its options.

    Raises:
        NotFound: no guardrail is called so.
        Invalid: an option is wrong.
    """
    at(("check",), lambda: GUARDRAILS.get(check))
    at(("options",), lambda: _check_options(check, options))


def _check_options(check: str, options: Mapping[str, object]) -> None:
    plugin: Any = GUARDRAILS.get(check)
    try:
        plugin(**{key: frozen(value) for key, value in options.items()})
    except TypeError as error:
        raise Invalid(f"The options of guardrail {check!r} are wrong: {error}.") from error


def default_url(provider: str, base_url: str, options: Mapping[str, object]) -> str:
    """The address a connection leads to, after its provider's default.

    Raises:
        NotFound: no provider is called so.
        Invalid: it leads nowhere, or an option is wrong.
    """
    if "${" in base_url:
        raise Invalid(f"{base_url!r} is taken as it is: variables are taken in 'secret' only.")
    address = provider_of(provider, base_url, options).base_url
    if not address:
        raise Invalid(f"A connection of provider {provider!r} needs a base URL, such as http://127.0.0.1:8000/v1.")
    parse_address(address)
    return address
