"""`rondel gateway`: connections, routes, and what keys may do."""

from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import quote

import cyclopts

from rondel.client.http import Api
from rondel.errors import Invalid, did_you_mean
from rondel.gateway.checking import check_name
from rondel.gateway.file_commands import add_file_commands
from rondel.gateway.litellm.commands import imports
from rondel.gateway.mcp.commands import mcp_group
from rondel.gateway.purges.commands import cache_group
from rondel.gateway.secrets.commands import value_asked_for
from rondel.money import nano_of, usd
from rondel.terminal import done, emit, listing, table


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of the gateway."""
    app = cyclopts.App(name="gateway", help="The gateway: connections, routes, limits.")
    _reading(app, connect)
    _connections(app, connect)
    _routes(app, connect)
    _route(app, connect)
    _limits(app, connect)
    add_file_commands(app, connect)
    app.command(imports())
    app.command(mcp_group(connect))
    app.command(cache_group(connect))
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def status(*, json: bool = False) -> None:
        """What the workers were last given, and what in it cannot be called.

        Parameters
        ----------
        json
            For machines.
        """
        told = connect().get("/api/v1/gateway")
        if json:
            emit(told)
            return
        figures = {"Snapshot": "version", "Routes": "routes", "Keys": "keys", "Connections": "connections"}
        table([told], figures, empty="")
        if told["problems"]:
            table(told["problems"], {"What": "subject", "Problem": "problem"}, empty="")

    @app.command
    def providers(*, json: bool = False) -> None:
        """The kinds of servers that can be connected.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/providers")
        columns = {"Provider": "name", "From": "package", "Version": "version"}
        listing(found, columns, json=json, empty="No provider is installed.")


def _connections(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def connections(*, json: bool = False) -> None:
        """The connections to providers.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/connections")
        columns = {"Name": "name", "Provider": "provider", "URL": "base_url", "Secret": "secret"}
        nothing = "There is no connection: make one with 'rondel gateway connect NAME PROVIDER'."
        listing(found, columns, json=json, empty=nothing)

    @app.command(name="connect")
    def connect_(
        name: str,
        provider: str,
        *,
        url: str | None = None,
        secret: str | None = None,
        ask: bool = False,
        option: list[str] | None = None,
        header: list[str] | None = None,
        json: bool = False,
    ) -> None:
        """Make or change a connection; what is not given stays while the provider does.

        Parameters
        ----------
        name
            How routes and callers name it: `name/model`.
        provider
            A provider plugin, such as `openai` or `openai_compatible`.
        url
            Up to the operation, such as http://127.0.0.1:8000/v1; a new connection without one has the provider's own.
        secret
            Where its key is: `env:OPENAI_API_KEY`, `file:NAME`, `store:NAME`, … Never the key itself.
        ask
            Ask for the key itself (or read it from standard input) and keep it encrypted, for this host alone.
        option
            An option of the provider as NAME=VALUE, such as api_version=2024-10-21; may be given several times.
        header
            A header for every request as NAME=VALUE, never a secret; may be given several times.
        json
            For machines.
        """
        value = value_asked_for(f"Key of {name}") if ask else None
        api = connect()
        known = {found["name"]: found for found in api.get("/api/v1/connections")}
        before: dict[str, Any] = known.get(name, {})
        kept = before if before.get("provider") == provider else {}
        body = {
            "provider": provider,
            "base_url": kept.get("base_url", "") if url is None else url,
            "secret": secret,
            "secret_value": value,
            "options": {**kept.get("options", {}), **_pairs("--option", option)},
            "headers": {**kept.get("headers", {}), **_pairs("--header", header)},
        }
        made = api.put(f"/api/v1/connections/{_called('connection', name)}", body)
        if json:
            emit(made)
            return
        then = f"rondel gateway route NAME --target {name}/MODEL"
        where = f"{made['provider']} at {made['base_url']}" if made["base_url"] else made["provider"]
        key = f"its key is {made['secret']}" if made["secret"] else "without a key"
        done(f"Connection {name} ({made['id']}) is saved: {where}, {key}.", url=f"{api.base_url}/gateway", then=then)

    @app.command
    def disconnect(name: str, *, json: bool = False) -> None:
        """Forget a connection.

        Parameters
        ----------
        name
            The connection's name.
        json
            For machines.
        """
        api = connect()
        gone = api.delete(f"/api/v1/connections/{_called('connection', name)}")
        if json:
            emit(gone)
            return
        sentence = f"Connection {name} ({gone['id']}) is forgotten."
        done(sentence, url=f"{api.base_url}/gateway", then="rondel gateway status")


def _routes(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def routes(*, json: bool = False) -> None:
        """The routes, and who answers on them.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/routes")
        if json:
            emit(found)
            return
        shown = [
            {
                **route,
                "answers": _answers(route),
                "policy": route["policy"] if route["cascade"] is None else "cascade",
                "guards": _guards(route),
                "kept": route["cache"]["mode"] if route["cache"] else "",
            }
            for route in found
        ]
        columns = {"Route": "name", "Answers": "answers", "Policy": "policy", "Guardrails": "guards"}
        columns |= {"Cache": "kept", "Attempts": "attempts", "Capture": "capture"}
        table(shown, columns, empty="There is no route: make one with 'rondel gateway route NAME --target NAME/MODEL'.")

    @app.command
    def unroute(name: str, *, json: bool = False) -> None:
        """Forget a route; while it has a live release, that goes on with the defaults.

        Parameters
        ----------
        name
            The route's name.
        json
            For machines.
        """
        api = connect()
        api.delete(f"/api/v1/routes/{_called('route', name)}")
        if json:
            emit({"name": name})
            return
        done(f"Route {name} is forgotten.", url=f"{api.base_url}/gateway", then="rondel gateway routes")


def _route(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def route(
        name: str,
        *,
        target: str | None = None,
        attempts: int | None = None,
        capture: Literal["all", "sample", "errors", "none"] | None = None,
        fallback: list[str] | None = None,
        guard: list[str] | None = None,
        spare: list[str] | None = None,
        policy: Literal["order", "weights", "least_busy", "fastest", "cheapest"] | None = None,
        affinity: Literal["session", "user", "none"] | None = None,
        hedge: str | None = None,
        cache: Literal["exact", "semantic", "off"] | None = None,
        json: bool = False,
    ) -> None:
        """Make or change a route; what is not given stays. Rules and cascades are set in a file.

        Parameters
        ----------
        name
            What callers give as `model`.
        target
            `connection/model`, which answers until a release is live.
        attempts
            How many tries a request has in all.
        capture
            Which requests keep their payloads.
        fallback
            A release that is tried when the chosen one fails; may be given several times.
        guard
            A guardrail on every answer, such as `pii`; may be given several times. On questions too, and with options:
            in a file.
        spare
            `connection/model` that answers when the target fails, or beside it under another policy than `order`; with
            `=3` behind it that weight. May be given several times.
        policy
            Who of target and spares is asked first.
        affinity
            What stays with its target, for the sake of prompt caches.
        hedge
            Seconds without a first byte after which a second target is asked; `p95` for the 95th percentile of what
            the first one has shown, `off` for none.
        cache
            Which requests are answered again from what was kept. Its other settings stay; a file or the API sets them.
        json
            For machines.
        """
        api = connect()
        known = {found["name"]: found for found in api.get("/api/v1/routes")}
        body = {field: value for field, value in known.get(name, {}).items() if field not in {"name", "arms"}}
        if target is not None:
            body["target"] = _target(target)
        if hedge is not None:
            body["hedge"] = None if hedge == "off" else {"after_s": None if hedge == "p95" else _seconds(hedge)}
        if cache is not None:
            body["cache"] = None if cache == "off" else {**(body.get("cache") or {}), "mode": cache}
        given: dict[str, Any] = {
            "attempts": attempts,
            "capture": capture,
            "fallbacks": fallback,
            "guardrails": None if guard is None else [{"check": check} for check in guard],
            "spares": None if spare is None else [_target(one) for one in spare],
            "policy": policy,
            "affinity": affinity,
        }
        made = api.put(
            f"/api/v1/routes/{_called('route', name)}",
            body | {key: value for key, value in given.items() if value is not None},
        )
        if json:
            emit(made)
            return
        then = f"rondel gateway routes   (callers give model={name!r})"
        guarded = f"; guarded by {_guards(made)}" if made["guardrails"] else ""
        done(f"Route {name} is saved: {_answers(made)}{guarded}.", url=f"{api.base_url}/gateway", then=then)


def _limits(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def limits(*, json: bool = False) -> None:
        """What keys, teams, end users and the project may do.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/limits")
        rows = found if json else [_limited(one) for one in found]
        columns = {"Owner": "owner", "May call": "calls", "Requests/min": "requests_per_minute"}
        columns |= {"Tokens/min": "tokens_per_minute", "At once": "concurrent", "A month": "money"}
        listing(rows, columns, json=json, empty="Nothing is limited: begin with 'rondel gateway limit OWNER'.")

    @app.command
    def limit(
        owner: str,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        at_once: int | None = None,
        budget: str | None = None,
        route: list[str] | None = None,
        model: list[str] | None = None,
        guard: list[str] | None = None,
        connection: list[str] | None = None,
        mcp: list[str] | None = None,
        lift: list[str] | None = None,
        json: bool = False,
    ) -> None:
        """Say what a key, a team, an end user or the project may do; what is not given stays.

        Parameters
        ----------
        owner
            A key's name or id, `team:NAME`, `user:NAME`, `user:*` (each end user) or `project`.
        requests
            Requests a minute.
        tokens
            Tokens a minute.
        at_once
            Requests at the same time.
        budget
            Dollars in a calendar month, such as 25.50; `rondel budget` sets other windows.
        route
            A route that it may call; may be given several times.
        model
            A pattern of models that it may call, such as `openai/gpt-5*`; may be given several times.
        guard
            A guardrail on everything that a key or a team calls, such as `pii`; may be given several times.
        connection
            A pattern of connections that it may pass anything to; may be given several times.
        mcp
            A pattern of MCP servers, or of their tools as `SERVER/TOOL`, that it may call; may be given several times.
        lift
            A limit that is to go: requests, tokens, at-once, budget, route, model, guard, connection or mcp; may be
            given several times.
        json
            For machines.
        """
        gone: dict[str, Any] = {_field(name): [] if _field(name) in _LISTS else None for name in lift or ()}
        given = {
            "requests_per_minute": requests,
            "tokens_per_minute": tokens,
            "concurrent": at_once,
            "budget_nano": None if budget is None else nano_of(budget),
            "routes": route,
            "models": model,
            "guardrails": None if guard is None else [{"check": check} for check in guard],
            "connections": connection,
            "mcp": mcp,
        }
        api = connect()
        body = gone | {field: value for field, value in given.items() if value is not None}
        made = api.put(f"/api/v1/limits/{quote(owner, safe='')}", body)
        if json:
            emit(made)
            return
        sentence = f"{made['owner']} may call {_limited(made)['calls']}: {_told(made)}."
        done(sentence, url=f"{api.base_url}/gateway/keys", then="rondel gateway limits")


_FIELDS = {
    "requests": "requests_per_minute",
    "tokens": "tokens_per_minute",
    "at-once": "concurrent",
    "budget": "budget_nano",
    "route": "routes",
    "model": "models",
    "guard": "guardrails",
    "connection": "connections",
    "mcp": "mcp",
}
_LISTS = ("routes", "models", "guardrails", "connections", "mcp")


def _field(name: str) -> str:
    if name not in _FIELDS:
        raise Invalid(f"There is no limit {name!r} to lift. {did_you_mean(name, _FIELDS)}")
    return _FIELDS[name]


def _limited(limits: dict[str, Any]) -> dict[str, Any]:
    money = None if limits["budget_nano"] is None else usd(limits["budget_nano"])
    return {**limits, "calls": _calls(limits), "money": money}


def _calls(limits: dict[str, Any]) -> str:
    return ", ".join([*limits["routes"], *limits["models"], *limits["connections"], *limits["mcp"]]) or "everything"


def _told(limits: dict[str, Any]) -> str:
    words = {
        "requests_per_minute": "{} requests a minute",
        "tokens_per_minute": "{} tokens a minute",
        "concurrent": "{} requests at once",
    }
    told = [word.format(limits[field]) for field, word in words.items() if limits[field] is not None]
    if limits["budget_nano"] is not None:
        told.append(f"{usd(limits['budget_nano'])} a month")
    told += [f"guarded by {guard['check']}" for guard in limits["guardrails"]]
    return ", ".join(told) or "without a limit"


def _target(text: str) -> dict[str, Any]:
    """`connection/model`, or `connection/model=3` with a weight."""
    name, equals, weight = text.rpartition("=")
    connection, slash, model = (name if equals else text).partition("/")
    if not slash or not model:
        raise Invalid(f"A target is written connection/model, such as local/smollm2; this is {text!r}.")
    target: dict[str, Any] = {"connection": connection, "model": model}
    return target | {"weight": _number(weight, "A weight")} if equals else target


def _seconds(text: str) -> float:
    return _number(text, "The time of --hedge, unless it is p95 or off,")


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Invalid(f"{what} is a number, not {text!r}.") from error


def _answers(route: dict[str, Any]) -> str:
    arms = [f"{arm['release_id']} {arm['stage']} {arm['share']:.0%}" for arm in route["arms"]]
    target = route["target"]
    asked = [f"{one['connection']}/{one['model']}" for one in ([target] if target else []) + route["spares"]]
    return ", ".join(arms) or (", then " if route["policy"] == "order" else ", ").join(asked) or "nothing yet"


def _guards(route: dict[str, Any]) -> str:
    """`pii (answers)`: that questions go on as they are is to be seen."""
    told: list[str] = []
    for guard in route["guardrails"]:
        sides = {"questions": guard.get("on_input", False), "answers": guard.get("on_output", True)}
        told.append(f"{guard['check']} ({' and '.join(side for side, is_on in sides.items() if is_on)})")
    return ", ".join(told)


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Invalid(f"{option} is written NAME=VALUE, such as api_version=2024-10-21; this is {text!r}.")
        found[name] = value
    return found


def _called(kind: str, name: str) -> str:
    """A name that is one step of a path.

    Raises:
        Invalid: it is none.
    """
    check_name(kind, name)
    return name
