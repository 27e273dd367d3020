"""From releases, deployments and connections to what a worker calls."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

import msgspec

from rondel.chat import in_the_form_of
from rondel.errors import Invalid, RondelError, did_you_mean
from rondel.gateway.models import (
    Connection,
    GuardRule,
    OnFailure,
    PlainTarget,
    PromptMessage,
    ReleaseCall,
    RouteGuard,
    RouteSettings,
    SavedConnection,
    Target,
)
from rondel.gateway.ports import Capability
from rondel.gateway.routing import Ruled
from rondel.gateway.rules import raw
from rondel.releases.bundle import resolve
from rondel.releases.models import Component, Release, ResolvedCall
from rondel.serving.models import Deployment, ServedName
from rondel.spend.ports import PriceBook
from rondel.storage.models import Scope

LOCAL = "local"
"""The name under which a scope's own deployments stand in `connection/model`."""


class Place(NamedTuple):
    """Where a model may be called in one project's environment."""

    scope: Scope
    connections: Mapping[str, SavedConnection]
    deployments: Sequence[Deployment]
    prices: PriceBook
    at: datetime


def connections_of(place: Place, streaming: frozenset[str]) -> list[Connection]:
    """The saved connections, and one for each deployment that answers.

    `streaming` holds the names of the engines that notice a hang-up only while they stream.
    """
    project_id, environment = place.scope.project_id, place.scope.environment
    saved = [
        Connection(
            id=connection.id,
            name=connection.name,
            provider=connection.provider,
            base_url=connection.base_url,
            secret=connection.secret,
            headers=dict(connection.headers),
            options={name: raw(value) for name, value in connection.options.items()},
            project_id=project_id,
            environment=environment,
        )
        for connection in place.connections.values()
    ]
    served = [
        Connection(
            id=deployment.id,
            name=f"{LOCAL}/{deployment.name}",
            provider="openai_compatible",
            base_url=f"{deployment.address}/v1",
            options={"capabilities": raw(_capabilities(deployment.engine in streaming))},
            project_id=project_id,
            environment=environment,
        )
        for deployment in place.deployments
        if deployment.address
    ]
    return saved + served


def _capabilities(is_streaming: bool) -> list[str]:
    asked = [Capability.USAGE_ON_REQUEST.value]
    return [*asked, Capability.STREAM_UPSTREAM.value] if is_streaming else asked


def subject_of(call: ReleaseCall) -> str:
    """What a problem of `call` is a problem of, for people: a release by its name, else the route it stands for."""
    _, is_plain, place = call.id.partition("plain:")
    return f"Route {place.split(':', 2)[-1]!r}" if is_plain else call.name or call.id


def plain_release(place: Place, route: str, target: PlainTarget, spares: Sequence[PlainTarget] = ()) -> ReleaseCall:
    """What a route without a live release calls: `target`, and `spares` in their order when it fails."""
    own = {name: raw(value) for name, value in target.parameters.items()}
    targets = [
        msgspec.structs.replace(_target(place, one.connection, one.model, None), weight=one.weight)
        for one in (target, *spares)
    ]
    if spares:  # each has parameters of its own, so none are the release's
        bodies = [{name: raw(value) for name, value in one.parameters.items()} for one in (target, *spares)]
        pairs = zip(targets, bodies, strict=True)
        targets = [msgspec.structs.replace(made, body={**made.body, **body}) for made, body in pairs]
    return ReleaseCall(
        id=f"plain:{place.scope.project_id}:{place.scope.environment}:{route}",
        digest="",
        project_id=place.scope.project_id,
        name="",
        targets=tuple(targets),
        parameters={} if spares else own,
    )


def ruled(
    place: Place, route: str, settings: RouteSettings, releases: Mapping[str, str]
) -> tuple[tuple[Ruled, ...], list[ReleaseCall]]:
    """The rules of a route as workers read them, and the models that they lead to past any release.

    `releases` are ids by names. A model that is one of the route's own has the others as spares.
    """
    rules: list[Ruled] = []
    made: list[ReleaseCall] = []
    for position, rule in enumerate(settings.rules):
        connection, slash, model = rule.use.partition("/")
        if not slash:
            release_id = releases.get(rule.use, "")
            rules.append(Ruled(when=rule.when, release_id=release_id, route="" if release_id else rule.use))
            continue
        own = [settings.target, *settings.spares] if settings.target else list(settings.spares)
        first = next((one for one in own if (one.connection, one.model) == (connection, model)), None)
        spares = [one for one in own if one is not first] if first else []
        first = first or PlainTarget(connection=connection, model=model)
        call = plain_release(place, route, first, spares)
        own_id = f"ruled:{place.scope.project_id}:{place.scope.environment}:{route}:{position}"  # no caller can name it
        made.append(msgspec.structs.replace(call, id=own_id, name=f"Rule {position + 1} of route {route!r}"))
        rules.append(Ruled(when=rule.when, release_id=made[-1].id))
    return tuple(rules), made


def served_models(place: Place) -> list[ReleaseCall]:
    """What is deployed here, so that `local/NAME` can be called without a route; adapters as `local/NAME:ADAPTER`."""
    names = [served.name for one in place.deployments for served in one.served]
    return [plain_release(place, f"{LOCAL}/{name}", PlainTarget(connection=LOCAL, model=name)) for name in names]


def release_call(place: Place, release: Release) -> ReleaseCall:
    """What a release calls: the first of its model calls. One that cannot be called says why; others are not
    touched."""
    try:
        return _release_call(place, release)
    except RondelError as error:
        nowhere = Target(connection_id="", model="", problem=f"Release {release.name!r}: {error.message}")
        return ReleaseCall(
            id=release.id,
            digest=release.digest,
            project_id=place.scope.project_id,
            name=release.name,
            targets=(nowhere,),
        )


def _release_call(place: Place, release: Release) -> ReleaseCall:
    call = resolve(release)[0]
    told = call.model.value
    connection, model = str(told.get("connection", "")), str(told.get("model", ""))
    return ReleaseCall(
        id=release.id,
        digest=release.digest,
        project_id=place.scope.project_id,
        name=release.name,
        targets=(_target(place, connection, model, call.adapter),),
        messages=_messages(call.prompt),
        prompt_name=call.prompt.ref.partition("@")[0] if call.prompt else "",
        prompt_version=call.prompt.ref.partition("@")[2] if call.prompt else "",
        parameters=_parameters(call),
        guardrails=tuple(_guard(component, call) for component in call.guardrails),
    )


def route_guard(guard: RouteGuard) -> GuardRule:
    """A route's guardrail as a worker reads it."""
    return GuardRule(
        check=guard.check,
        options={name: raw(value) for name, value in guard.options.items()},
        on_input=guard.on_input,
        on_output=guard.on_output,
        on_failure=guard.on_failure,
    )


def _target(place: Place, connection: str, model: str, adapter: Component | None) -> Target:
    if connection == LOCAL:
        return _local(place, model, adapter)
    saved = place.connections.get(connection)
    name = _adapter_name(adapter) if adapter else model
    if saved is None:
        known = did_you_mean(connection, [*place.connections, LOCAL])
        return Target(connection_id="", model=name, problem=f"There is no connection {connection!r}. {known}")
    return Target(connection_id=saved.id, model=name, price=place.prices.find(saved.provider, model, place.at))


def _local(place: Place, model: str, adapter: Component | None) -> Target:
    """A model served here, with its adapter if the release has one."""
    deployment = next((one for one in place.deployments if one.name == model.partition(":")[0]), None)
    if deployment is None:
        known = did_you_mean(model, [one.name for one in place.deployments])
        return Target(connection_id="", model=model, problem=f"Nothing is deployed as {model!r}. {known}")
    wanted = f"{deployment.name}:{_served_adapter(deployment, adapter)}" if adapter else model
    served: ServedName | None = next((one for one in deployment.served if one.name == wanted), None)
    if served is None or not deployment.address:
        why = deployment.detail or deployment.state.value
        return Target(connection_id="", model=wanted, problem=f"Deployment {deployment.name!r} does not answer: {why}")
    body = {name: raw(value) for name, value in served.body.items()}
    price = place.prices.find(LOCAL, model, place.at)
    return Target(connection_id=deployment.id, model=served.upstream_model, body=body, price=price)


def _served_adapter(deployment: Deployment, adapter: Component) -> str:
    """The name under which the deployment serves this adapter version, else the adapter's own."""
    version = adapter.value.get("id")
    name = _adapter_name(adapter)
    exact = (one.name for one in deployment.adapters if version is not None and one.version_id == version)
    return next(exact, name)


def _adapter_name(adapter: Component) -> str:
    return str(adapter.value.get("name") or adapter.ref.partition("@")[0])


def _messages(prompt: Component | None) -> tuple[PromptMessage, ...]:
    if prompt is None:
        return ()
    messages = cast("Sequence[Mapping[str, object]]", prompt.value.get("messages") or ())
    return tuple(PromptMessage(str(message.get("role")), str(message.get("content"))) for message in messages)


def _parameters(call: ResolvedCall) -> dict[str, msgspec.Raw]:
    parameters = {name: raw(value) for name, value in call.parameters.items()}
    if call.tools is not None:
        parameters.setdefault("tools", raw(call.tools.value.get("tools", call.tools.value)))
    if call.response_schema is not None:
        parameters.setdefault("response_format", raw(in_the_form_of(call.response_schema.value)))
    return parameters


_GUARD_FIELDS = frozenset({"check", "options", "on_input", "on_output", "on_failure"})


def _guard(component: Component, call: ResolvedCall) -> GuardRule:
    value = component.value
    options = dict(cast("Mapping[str, object]", value.get("options") or {}))
    options |= {name: option for name, option in value.items() if name not in _GUARD_FIELDS}
    check = str(value.get("check", component.ref))
    if check == "json_schema" and "schema" not in options and call.response_schema is not None:
        options["schema"] = call.response_schema.value
    on_failure = str(value.get("on_failure", OnFailure.PASS.value))
    if on_failure not in set(OnFailure):
        raise Invalid(f"Guardrail {check!r} has no 'on_failure' {on_failure!r}. {did_you_mean(on_failure, OnFailure)}")
    return GuardRule(
        check=check,
        options={name: raw(option) for name, option in options.items()},
        on_input=value.get("on_input") is True,
        on_output=value.get("on_output") is not False,
        on_failure=OnFailure(on_failure),
    )
