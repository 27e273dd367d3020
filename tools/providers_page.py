"""Writes `docs/providers.md` from the provider plugins themselves: `python -m tools.providers_page`.

How far each was tried comes from `tests/contract/gateway/evidence.py`, which the tests check.
"""

import re
from dataclasses import fields
from inspect import getdoc
from pathlib import Path
from typing import Any, cast

from tests.contract.gateway.evidence import EVIDENCE, NONE, Evidence, State

from rondel.gateway.models import Operation
from rondel.gateway.ports import PROVIDERS, Call
from rondel.gateway.rules import assemble, raw

PAGE = Path(__file__).parent.parent / "docs" / "providers.md"

HEAD = """# Providers

Kinds of servers that the gateway speaks to; `rondel gateway connect NAME PROVIDER` makes a connection to one. What a
provider *passes* goes to it byte for byte, in the caller's own dialect; what it *translates* reaches it in its own
words, and its answers come back in OpenAI's. Requests in any other dialect become chats first. This page is written
from the plugins by `python -m tools.providers_page`.

- **run here**: a real server of this kind answers in the tests, through the gateway.
- **contract-tested**: requests and answers are compared with what the provider's official client sends and reads.
- **untested (data only)**: it speaks OpenAI's dialect; its address and habits are as its documentation says.

| provider | default address | passes | translates | tried |
|---|---|---|---|---|
"""
OPTIONS = """
## Options and capabilities

An option is given with a connection (`options`), the address as its `base_url`. What a capability means stands in
`rondel.gateway.ports.Capability`.

| provider | options and their defaults | capabilities | sources |
|---|---|---|---|
"""
_ADDRESS = re.compile(r"https://[^\s,)]+")
_NO_OPTIONS = frozenset({"base_url", "capabilities", "operations"})


def bundled() -> list[str]:
    """The names of our own providers."""
    return [info.name for info in PROVIDERS.list() if info.package == "rondel"]


def render() -> str:
    """The page as it has to be."""
    plugins: dict[str, Any] = {name: PROVIDERS.get(name) for name in bundled()}
    rows = [_row(name, plugin()) for name, plugin in plugins.items()]
    return HEAD + "".join(rows) + OPTIONS + "".join(_options(name, plugin) for name, plugin in plugins.items())


def _row(name: str, provider: Any) -> str:
    passed = [each for each in Operation if each in provider.operations and _is_passed(provider, each)]
    translated = [each for each in Operation if each in provider.operations and each not in passed]
    decoder = provider.decoder(Call(Operation.CHAT, "m", {"messages": raw([])}, is_stream=True))
    if decoder is not None:
        translated.insert(0, Operation.CHAT)
    address = f"`{provider.base_url}`" if provider.base_url else "from its options"
    tried = _tried(EVIDENCE.get(name, NONE))
    return f"| `{name}` | {address} | {_paths(passed)} | {_paths(translated)} | {tried} |\n"


def _is_passed(provider: Any, operation: Operation) -> bool:
    """Whether a caller's bytes go on untouched: a body in which nothing has to be changed comes out as it went in."""
    asked = {"input": raw("x")} if operation is Operation.EMBEDDING else {"messages": raw([])}
    fields = asked if operation is Operation.GENERATE else {"model": raw("m"), **asked}
    body = b" %b " % assemble(fields)
    return provider.encode(Call(operation, "m", fields, is_stream=False, original=body)) == body


def _paths(operations: list[Operation]) -> str:
    geminis = f"/v1beta/models/NAME:{Operation.GENERATE.value}"
    paths = [geminis if each is Operation.GENERATE else f"/v1/{each.value}" for each in operations]
    return ", ".join(f"`{path}`" for path in paths)


def _tried(evidence: Evidence) -> str:
    if evidence.state is State.UNTESTED:
        return evidence.state.value
    return f"[{evidence.state.value}](../{evidence.test}) ({evidence.called})"


def _options(name: str, plugin: Any) -> str:
    options = [f"`{each.name}` = `{_default(each.default)}`" for each in fields(plugin) if each.name not in _NO_OPTIONS]
    capabilities = [f"`{each.value}`" for each in sorted(plugin().capabilities)]
    sources = [f"<{each.rstrip('.')}>" for each in _ADDRESS.findall(getdoc(plugin) or "")]
    return f"| `{name}` | {', '.join(options)} | {', '.join(capabilities)} | {' '.join(sources)} |\n"


def _default(value: object) -> str:
    """As it is written in a configuration; a set in the order of its words."""
    return repr(sorted(map(str, cast("frozenset[object]", value))) if isinstance(value, frozenset) else value)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
