"""LiteLLM's configuration as ours. Pure: the documents and what is known of the environment come in as values."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from rondel.gateway.checking import NAME
from rondel.gateway.configuring import GatewayConfig
from rondel.gateway.litellm.caching import cache_of
from rondel.gateway.litellm.deployments import Deployment, Json, Reader, items, mapping
from rondel.gateway.litellm.models import Imported, Notes
from rondel.gateway.litellm.settings import KNOWN, UNKNOWN
from rondel.gateway.models import CacheSettings, OnFailure, PlainTarget, RouteGuard, RouteSettings, Timeouts
from rondel.gateway.routing import Policy

MOST_ATTEMPTS = 10
DEFAULT_RETRIES = 2
"""LiteLLM's, when nothing says another."""
DEFAULT_TIMEOUT_S = 600.0
SECTIONS = frozenset(
    {"model_list", "router_settings", "litellm_settings", "general_settings", "environment_variables", "include",
     "credential_list", "guardrails"}
)  # fmt: skip
_KINDS = {
    "EMAIL_ADDRESS": "EMAIL",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "PHONE_NUMBER": "PHONE",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
}
"""Presidio's entities that the guardrail `pii` finds."""
_POLICIES = {
    "": Policy.WEIGHTS,
    "simple-shuffle": Policy.WEIGHTS,
    "least-busy": Policy.LEAST_BUSY,
    "latency-based-routing": Policy.FASTEST,
    "cost-based-routing": Policy.CHEAPEST,
    "usage-based-routing": Policy.LEAST_BUSY,
    "usage-based-routing-v2": Policy.LEAST_BUSY,
}
"""LiteLLM's strategies; the first counts when none is named."""


class _Settings(NamedTuple):
    """What several sections say of every group."""

    attempts: int
    total_s: float
    fallbacks: Mapping[str, tuple[str, ...]]
    for_all: tuple[str, ...]
    guardrails: tuple[RouteGuard, ...]
    policy: Policy
    cache: CacheSettings | None


def convert(document: Json, variables: Mapping[str, str], providers: Mapping[str, frozenset[str]]) -> Imported:
    """Our configuration of `document`, its includes merged in.

    `variables` are environment variables whose values may be written down where no reference can stand; `providers`
    are ours that are installed, with the names of their options.
    """
    notes = Notes()
    held = {name: str(value) for name, value in mapping(document.get("environment_variables")).items()}
    router, own = mapping(document.get("router_settings")), mapping(document.get("litellm_settings"))
    credentials = {
        str(one.get("credential_name")): mapping(one.get("credential_values"))
        for one in map(mapping, items(document.get("credential_list")))
    }
    reader = Reader(notes=notes, variables={**variables, **held}, providers=providers, credentials=credentials)
    entries = list(enumerate(map(mapping, items(document.get("model_list")))))
    defaults = mapping(router.get("default_litellm_params"))
    ordered = sorted(entries, key=lambda entry: not str(entry[1].get("model_name", "")).endswith("*"))
    read = [reader.read(entry, defaults, position) for position, entry in ordered]
    deployments = [one for one in read if one is not None]
    settings = _settings(document, router, own, notes)
    routes = _routes(deployments, settings, notes)
    _aliases(mapping(router.get("model_group_alias")), routes, notes)
    _tell(document, router, own, held, notes)
    notes.add("keys", "LiteLLM keeps its keys in its database.", "Make new ones with 'rondel key create NAME'.")
    return Imported(GatewayConfig(connections=reader.connections, routes=routes), notes.all())


# What counts for every group


def _settings(document: Json, router: Json, own: Json, notes: Notes) -> _Settings:
    retries = router.get("num_retries", own.get("num_retries", DEFAULT_RETRIES))
    timeout = router.get("timeout", own.get("request_timeout", DEFAULT_TIMEOUT_S))
    fallbacks: dict[str, tuple[str, ...]] = {}
    for rule in (*items(own.get("fallbacks")), *items(router.get("fallbacks"))):
        for group, names in mapping(rule).items():
            fallbacks[group] = tuple(str(name) for name in items(names) if isinstance(name, str))
            if len(fallbacks[group]) < len(items(names)):
                why = "A fallback with a message of its own has no counterpart."
                notes.add(f"fallbacks of {group!r}", why, "Make a release with that prompt and name it in 'fallbacks'.")
    for_all = (*items(own.get("default_fallbacks")), *items(router.get("default_fallbacks")))
    given = (*items(document.get("guardrails")), *items(own.get("guardrails")))
    return _Settings(
        attempts=(retries if isinstance(retries, int) else DEFAULT_RETRIES) + 1,
        total_s=float(timeout) if isinstance(timeout, int | float) and timeout > 0 else DEFAULT_TIMEOUT_S,
        fallbacks=fallbacks,
        for_all=tuple(map(str, for_all)),
        guardrails=tuple(guard for guard in (_guardrail(mapping(one), notes) for one in given) if guard),
        policy=_POLICIES.get(str(router.get("routing_strategy", "")), Policy.WEIGHTS),
        cache=cache_of(own, notes),
    )


def _guardrail(given: Json, notes: Notes) -> RouteGuard | None:
    """One of LiteLLM's guardrails, if it is on for everybody and there is one of its kind here."""
    name, params = str(given.get("guardrail_name", "without a name")), mapping(given.get("litellm_params"))
    where, kind = f"guardrails ({name})", str(params.get("guardrail", ""))
    if kind != "presidio":
        instead = "Write a guardrail plugin, or name one that is installed in 'guardrails' of the routes."
        notes.add(where, f"There is no guardrail here for {kind or 'it'!r}.", instead)
        return None
    if params.get("default_on") is not True:
        instead = "Name 'pii' in 'guardrails' of the routes that it is for."
        notes.add(where, "Keys and requests choose it in LiteLLM; here routes do.", instead)
        return None
    modes = {str(mode) for mode in items(params.get("mode"))}
    entities = mapping(params.get("pii_entities_config"))
    kinds = [_KINDS[entity] for entity in entities if entity in _KINDS]
    if lost := [entity for entity in entities if entity not in _KINDS]:
        notes.add(
            where, f"The guardrail 'pii' does not look for {', '.join(lost)}.", "Write a guardrail plugin for it."
        )
    if "BLOCK" in map(str, entities.values()):
        notes.add(where, "The guardrail 'pii' takes personal data out and refuses nothing.", "")
    if entities and not kinds:
        return None
    is_input, is_output = bool(modes & {"pre_call", "during_call"}), "post_call" in modes
    return RouteGuard(
        check="pii",
        options={"kinds": kinds} if kinds else {},
        on_input=is_input or not is_output,
        on_output=is_output,
        on_failure=OnFailure.PASS,
    )


# Routes


def _routes(deployments: list[Deployment], settings: _Settings, notes: Notes) -> dict[str, RouteSettings]:
    groups: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        if deployment.is_wildcard:
            _tell_wildcard(deployment, notes)
        else:
            groups.setdefault(deployment.group, []).append(deployment)
    for members in groups.values():
        members.sort(key=lambda one: (one.order, -one.weight))
    return {_name(group, members, notes): _route(group, groups, settings, notes) for group, members in groups.items()}


def _route(group: str, groups: Mapping[str, list[Deployment]], settings: _Settings, notes: Notes) -> RouteSettings:
    members = groups[group]
    others = list(_fallback_targets(group, groups, settings, notes))
    sharing = [one for one in members if one.order == members[0].order]
    policy = settings.policy if len({_place(one.target) for one in sharing}) > 1 else Policy.ORDER
    targets = list(_unique([*(one.target for one in members), *others]))
    if policy is not Policy.ORDER:
        targets = [msgspec.structs.replace(one, weight=_weight(one, sharing, policy)) for one in targets]
    wanted = settings.attempts + len(targets) - 1 if len(targets) > 1 else settings.attempts
    seconds = [one.timeout_s for one in members if one.timeout_s is not None]
    first = [one.stream_timeout_s for one in members if one.stream_timeout_s is not None]
    if len({*seconds}) > 1:
        notes.add(f"model {group!r}", "Its deployments have several timeouts; the route has the longest.", "")
    defaults = Timeouts()
    total_s = max(seconds, default=settings.total_s)
    return RouteSettings(
        target=targets[0],
        spares=tuple(targets[1:]),
        attempts=min(max(wanted, 1), MOST_ATTEMPTS),
        timeouts=Timeouts(
            total_s=total_s, first_byte_s=min(max(first, default=defaults.first_byte_s), max(total_s, 0.001))
        ),
        guardrails=settings.guardrails,
        policy=policy,
        cache=settings.cache,
    )


def _weight(target: PlainTarget, sharing: list[Deployment], policy: Policy) -> float:
    """The part of a target in the requests: none of one that is behind another by `order`, or a fallback.

    Where several deployments came to be one target, it has the parts of all.
    """
    given = [one.weight for one in sharing if _place(one.target) == _place(target)]
    if policy is not Policy.WEIGHTS or not any(one.weight for one in sharing):
        return float(len(given) if policy is Policy.WEIGHTS else bool(given))
    return float(sum(given))


def _place(target: PlainTarget) -> bytes:
    return msgspec.json.encode(target, order="deterministic")


def _fallback_targets(
    group: str, groups: Mapping[str, list[Deployment]], settings: _Settings, notes: Notes
) -> Iterable[PlainTarget]:
    for name in settings.fallbacks.get(group, settings.for_all):
        if name in groups:
            yield from (one.target for one in groups[name])
        else:
            instead = "Add a connection's model to 'spares' of the route."
            notes.add(f"fallbacks of {group!r}", f"The model {name!r} was not taken over.", instead)


def _unique(targets: Iterable[PlainTarget]) -> Iterable[PlainTarget]:
    seen: list[PlainTarget] = []
    for target in targets:
        if target not in seen:
            seen.append(target)
            yield target


def _name(group: str, members: list[Deployment], notes: Notes) -> str:
    """What callers write; a name with a slash means a connection's model here."""
    if NAME.fullmatch(group):
        return group
    name = "".join(sign if sign.isalnum() or sign in "._:-" else "-" for sign in group).strip("._:-")[:100] or "route"
    direct = f"{members[0].target.connection}/{members[0].target.model}"
    instead = f"Callers write {name!r}" + (
        ", or as before to reach the model past the route." if direct == group else "."
    )
    notes.add(f"model {group!r}", "A route's name has no slash or space.", instead)
    return name


def _tell_wildcard(deployment: Deployment, notes: Notes) -> None:
    connection, group = deployment.target.connection, deployment.group
    if group.removesuffix("/*") == connection and not deployment.target.parameters:
        instead = "Nothing is to be done, but for keys that are restricted to routes."
        notes.add(
            f"model {group!r}", f"Callers reach every model of it as {connection}/MODEL, without a route.", instead
        )
        return
    instead = f"Callers write {connection}/MODEL, or get a route for each model."
    notes.add(f"model {group!r}", "There are no routes for patterns of names.", instead)


def _aliases(aliases: Json, routes: dict[str, RouteSettings], notes: Notes) -> None:
    for alias, value in aliases.items():
        group = str(mapping(value).get("model", value))
        if group in routes and NAME.fullmatch(alias):
            routes.setdefault(alias, routes[group])
        else:
            instead = "Make a route of that name."
            notes.add(
                f"router_settings.model_group_alias.{alias}", f"There is no route {group!r} to stand for.", instead
            )


# What has no counterpart


def _tell(document: Json, router: Json, own: Json, held: Mapping[str, str], notes: Notes) -> None:
    strategy = str(router.get("routing_strategy", ""))
    if strategy not in _POLICIES:
        instead = "Choose a 'policy' of the routes."
        notes.add(f"router_settings.routing_strategy ({strategy})", "Requests are shared by weights instead.", instead)
    elif strategy.startswith("usage-based"):
        why = (
            "Tokens a minute of a deployment are not counted here: the one with the fewest requests under way is asked."
        )
        notes.add(f"router_settings.routing_strategy ({strategy})", why, "")
    if held:
        why = "Variables are not set by a configuration file here."
        notes.add("environment_variables", why, f"Set them where 'rondel up' starts: {', '.join(held)}.")
    read = {"num_retries", "timeout", "request_timeout", "fallbacks", "default_fallbacks", "guardrails",
            "model_group_alias", "default_litellm_params", "routing_strategy"}  # fmt: skip
    if own.get("cache") is True:
        read |= {"cache", "cache_params"}
    general = mapping(document.get("general_settings"))
    for section, values in (("router_settings", router), ("litellm_settings", own), ("general_settings", general)):
        for name in values:
            if name not in read or section == "general_settings":
                word = KNOWN.get(name, UNKNOWN)
                notes.add(f"{section}.{name}", word.why, word.instead)
    for name in mapping(document):
        if name not in SECTIONS:
            word = KNOWN.get(name, UNKNOWN)
            notes.add(name, word.why, word.instead)
