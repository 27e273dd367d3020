"""The gateway's configuration as a file: what it holds, what is wrong in it, what it would change. All pure.

The file is a YAML mapping of connections, routes and keys (by name), or has it under `gateway:` beside the settings of
`rondel.yaml`. Secrets are references: `${OPENAI_API_KEY}` is short for `env:OPENAI_API_KEY` and is never filled in.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from rondel.errors import Invalid, RondelError, did_you_mean
from rondel.gateway.checking import (
    check_base_url,
    check_connection_name,
    check_guard,
    check_header,
    check_name,
    check_secret,
    default_url,
    routing_steps,
)
from rondel.gateway.documents import Document, Path, Terse, plain, write
from rondel.gateway.documents import schema as document_schema
from rondel.gateway.mcp.checking import check_server
from rondel.gateway.mcp.models import McpSettings
from rondel.gateway.models import KeyPolicy, PlainTarget, RouteGuard, RouteSettings
from rondel.gateway.ports import PROVIDERS

LOCAL = "local"
SECTION = "gateway"
SCHEMA_LINE = "# yaml-language-server: $schema=rondel-gateway.schema.json\n"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ConnectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sets on a connection; meanings as in `Connection`."""

    provider: str
    base_url: str = ""
    secret: str = ""
    headers: dict[str, str] = {}
    options: dict[str, object] = {}


Secretive = TypeVar("Secretive", ConnectionSettings, McpSettings)


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that one file says, by name. A section that is None is not there, and nothing of it is touched."""

    connections: dict[str, ConnectionSettings] | None = None
    routes: dict[str, RouteSettings] | None = None
    mcp: dict[str, McpSettings] | None = None
    keys: dict[str, KeyPolicy] | None = None

    def section(self, name: str) -> Mapping[str, msgspec.Struct]:
        """One section; empty when it is not there."""
        found: Mapping[str, msgspec.Struct] | None = getattr(self, name)
        return found or {}


KINDS = {"connections": "connection", "routes": "route", "mcp": "MCP server", "keys": "key"}
"""Sections in the order in which they are made, and what stands in each."""
DEFAULTS: Mapping[str, msgspec.Struct] = {"keys": KeyPolicy()}
"""What a name stands for that nothing was set for: only a key is there without."""


class Action(StrEnum):
    """What applying a file does to one thing."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


class FieldChange(NamedTuple):
    """One value, as the file would show it; None is the default."""

    field: str
    before: object
    after: object


class Change(NamedTuple):
    """What applying a file does to one connection, route or key."""

    section: str
    name: str
    action: Action
    fields: tuple[FieldChange, ...]

    @property
    def kind(self) -> str:
        """The section's word for one of it."""
        return KINDS[self.section]


class Kept(NamedTuple):
    """Something that is there and that the file does not name."""

    section: str
    name: str

    @property
    def kind(self) -> str:
        """The section's word for one of it."""
        return KINDS[self.section]


class Comparison(NamedTuple):
    """What a file would change. `kept` is never removed unless that is asked for."""

    changes: tuple[Change, ...]
    kept: tuple[Kept, ...]


class Applied(NamedTuple):
    """What applying a file changed, and the state's mark before and after."""

    comparison: Comparison
    before: str
    after: str


# Reading


def _target(text: str) -> PlainTarget:
    connection, slash, model = text.partition("/")
    if not slash or not connection or not model:
        raise Invalid(f"A target is written connection/model, such as openai/gpt-5-mini; this is {text!r}.")
    return PlainTarget(connection=connection, model=model)


SHORT: Mapping[type, Callable[[str], object]] = {PlainTarget: _target, RouteGuard: lambda text: RouteGuard(check=text)}
"""What a struct may be written as: a target as `connection/model`, a guardrail as its name."""
TERSE: Mapping[type, Terse] = {
    PlainTarget: lambda fields: f"{fields['connection']}/{fields['model']}" if len(fields) == 2 else None,
    RouteGuard: lambda fields: str(fields["check"]) if len(fields) == 1 else None,
}


class Reading(NamedTuple):
    """A file that was read: what it says, and where."""

    document: Document
    config: GatewayConfig


def read(file: str, text: str) -> Reading:
    """Take a file apart; `file` is how errors call it.

    Raises:
        Faulty: something in it is wrong; every fault with its line.
    """
    document = Document(file, text, section=SECTION, short=SHORT)
    config = document.read(GatewayConfig)
    connections = {name: _resolved(one) for name, one in (config.connections or {}).items()}
    if config.connections is not None:
        config = msgspec.structs.replace(config, connections=connections)
    if config.mcp is not None:
        config = msgspec.structs.replace(config, mcp={name: _resolved(one) for name, one in config.mcp.items()})
    return Reading(document, config)


def _resolved(connection: Secretive) -> Secretive:
    found = _VARIABLE.fullmatch(connection.secret)
    return msgspec.structs.replace(connection, secret=f"env:{found[1]}") if found else connection


def check(
    reading: Reading,
    state: GatewayConfig | None = None,
    live: Collection[str] = (),
    lost: Collection[str] = (),
) -> None:
    """Refuse what cannot work; `state` is all that is there once the file is applied, `live` the routes of releases,
    `lost` the connections that applying it removes.

    Without `state` the file is judged by itself: a section that it does not have may be on the server.

    Raises:
        Faulty: with the place of every fault.
    """
    document, config = reading
    for name, connection in (config.connections or {}).items():
        for path, step in _connection_steps(name, connection):
            _try(document, ("connections", name, *path), step)
    for name, settings in (config.routes or {}).items():
        _try(document, ("routes", name), lambda name=name: check_name("route", name))
        for position, guard in enumerate(settings.guardrails):
            path = ("routes", name, "guardrails", position)
            _try(document, path, lambda guard=guard: check_guard(guard.check, guard.options))
        for path, step in routing_steps(settings):
            _try(document, ("routes", name, *path), step)
    for name, policy in (config.keys or {}).items():
        for position, guard in enumerate(policy.guardrails):
            path = ("keys", name, "guardrails", position)
            _try(document, path, lambda guard=guard: check_guard(guard.check, guard.options))
    for name, server in (config.mcp or {}).items():
        _try(document, ("mcp", name), lambda name=name, server=server: check_server(name, server))
    _check_targets(document, config, state, lost)
    _check_keys(document, config, state, live)
    document.check()


def _connection_steps(name: str, connection: ConnectionSettings) -> Iterator[tuple[Path, Callable[[], object]]]:
    yield (), lambda: check_connection_name(name)
    yield ("provider",), lambda: PROVIDERS.get(connection.provider)
    yield ("secret",), lambda: check_secret(connection.secret)
    for header, value in connection.headers.items():
        yield ("headers", header), lambda header=header, value=value: check_header(header, value)
    if connection.provider in {info.name for info in PROVIDERS.list()}:
        yield ("base_url",), lambda: check_base_url(connection.base_url)
        part = "base_url" if connection.base_url else "options"
        yield (part,), lambda: default_url(connection.provider, connection.base_url, connection.options)


def _try(document: Document, path: Path, step: Callable[[], object]) -> None:
    try:
        step()
    except RondelError as error:
        document.fault(path, error.message)


def targets_of(settings: RouteSettings) -> Iterator[tuple[Path, PlainTarget]]:
    """The connections' models that a route names, with their places in it."""
    if settings.target is not None:
        yield ("target",), settings.target
    for position, spare in enumerate(settings.spares):
        yield ("spares", position), spare
    for position, rule in enumerate(settings.rules):
        connection, slash, model = rule.use.partition("/")
        if slash:
            yield ("rules", position, "use"), PlainTarget(connection=connection, model=model)


def _check_targets(
    document: Document, config: GatewayConfig, state: GatewayConfig | None, lost: Collection[str]
) -> None:
    known = config.connections if state is None else state.connections
    if known is None:
        return
    # A route that led nowhere before is not this file's fault, and must not hold it up.
    routes = config.routes if state is None else state.routes
    for name, settings in (routes or {}).items():
        for path, target in targets_of(settings):
            if target.connection in {*known, LOCAL}:
                continue
            if name in (config.routes or {}):
                sentence = f"There is no connection {target.connection!r}. {did_you_mean(target.connection, known)}"
                document.fault(("routes", name, *path), sentence)
            elif target.connection in lost:
                sentence = f"Route {name!r}, which this file does not name, leads to connection {target.connection!r}."
                document.fault(("connections",), f"{sentence} Name the connection, or remove the route too.")


def _check_keys(document: Document, config: GatewayConfig, state: GatewayConfig | None, live: Collection[str]) -> None:
    known = config.routes if state is None else state.routes
    if known is None:
        return
    for name, policy in (config.keys or {}).items():
        for position, route in enumerate(policy.routes):
            if route not in known and route not in live:
                sentence = f"There is no route {route!r}. {did_you_mean(route, {*known, *live})}"
                document.fault(("keys", name, "routes", position), sentence)


# Comparing


def compare(before: GatewayConfig, config: GatewayConfig, *, prune: bool) -> Comparison:
    """What applying `config` to `before`, which has every section, does."""
    changes: list[Change] = []
    kept: list[Kept] = []
    for section in KINDS:
        if getattr(config, section) is None:
            continue
        held, wanted = before.section(section), config.section(section)
        for name, value in wanted.items():
            old = held.get(name, DEFAULTS.get(section))
            if old != value:
                action = Action.ADD if old is None else Action.CHANGE
                changes.append(Change(section, name, action, _fields(old, value)))
        for name, old in held.items():
            if name not in wanted and prune:
                changes.append(Change(section, name, Action.REMOVE, _fields(old, None)))
            elif name not in wanted:
                kept.append(Kept(section, name))
    return Comparison(tuple(changes), tuple(kept))


def applied(before: GatewayConfig, config: GatewayConfig, *, prune: bool) -> GatewayConfig:
    """What is there when `config` was applied to `before`, which has every section."""
    sections: dict[str, Any] = {}
    for section in KINDS:
        held, wanted = before.section(section), config.section(section)
        is_named = getattr(config, section) is not None
        sections[section] = dict(wanted) if prune and is_named else {**held, **wanted}
    return GatewayConfig(**sections)


def _fields(before: msgspec.Struct | None, after: msgspec.Struct | None) -> tuple[FieldChange, ...]:
    old, new = dict(_leaves(before)), dict(_leaves(after))
    names = [*new, *(name for name in old if name not in new)]
    changed = (FieldChange(name, old.get(name), new.get(name)) for name in names)
    return tuple(change for change in changed if change.before != change.after)


def _leaves(value: msgspec.Struct | None) -> Iterator[tuple[str, object]]:
    """Every value as the file would show it, by its path; a list is one value."""
    return _walk("", plain(value, TERSE)) if value is not None else iter(())


def _walk(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for name, each in cast("Mapping[str, object]", value).items():
            yield from _walk(f"{path}.{name}" if path else name, each)
    else:
        yield path, value


def etag(state: GatewayConfig) -> str:
    """The same for the same state: what a comparison was made with."""
    return hashlib.sha256(msgspec.json.encode(state, order="deterministic")).hexdigest()[:16]


# Writing


def written(config: GatewayConfig, comments: str = "") -> str:
    """The file that says this; `comments` are lines that begin with `#`."""
    sections: dict[str, object] = {}
    for section in KINDS:
        if getattr(config, section) is not None:
            sections[section] = {name: _shown(one) for name, one in sorted(config.section(section).items())}
    return SCHEMA_LINE + comments + write(sections)


def _shown(one: msgspec.Struct) -> object:
    if isinstance(one, ConnectionSettings | McpSettings) and one.secret.startswith("env:"):
        short = f"${{{one.secret.removeprefix('env:')}}}"
        one = msgspec.structs.replace(one, secret=short if _VARIABLE.fullmatch(short) else one.secret)
    return plain(one, TERSE)


def schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors; the providers are those installed here."""
    found = document_schema(GatewayConfig, short=SHORT, title="Configuration of Rondel's gateway")
    provider = found["$defs"]["ConnectionSettings"]["properties"]["provider"]
    provider["enum"] = sorted(info.name for info in PROVIDERS.list())
    return found
