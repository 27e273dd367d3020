"""Callers who do not speak OpenAI's chat completions: their dialects, and what the heads of their requests say."""

from collections.abc import Mapping

import msgspec

from rondel.gateway.dialects.generate.dialect import Generate
from rondel.gateway.dialects.messages.dialect import SESSION_HEADER, Messages
from rondel.gateway.dialects.responses.dialect import Responses
from rondel.gateway.models import Operation
from rondel.gateway.ports import Dialect

DIALECTS: Mapping[Operation, Dialect] = {
    Operation.RESPONSES: Responses(),
    Operation.MESSAGES: Messages(),
    Operation.COUNT_TOKENS: Messages(),
    Operation.GENERATE: Generate(),
}
PASSED = (b"anthropic-version", b"anthropic-beta", b"openai-beta")
"""Headers that a server of the caller's own dialect is told."""
READ = frozenset({*PASSED, SESSION_HEADER})
_LONGEST = 1024


class Foreign(msgspec.Struct, frozen=True, gc=False):
    """What the head of a request in another dialect says. `passed` are the headers for a server of that dialect."""

    dialect: Dialect
    target: str
    """The path with its query."""
    headers: Mapping[bytes, bytes]
    passed: tuple[tuple[bytes, bytes], ...]

    @property
    def asks_for_beta(self) -> bool:
        """Whether it wants what a server does not do for everybody."""
        return any(name.endswith(b"-beta") for name, _ in self.passed)


def foreign_of(operation: Operation | None, target: bytes, headers: Mapping[bytes, bytes]) -> Foreign | None:
    """What a request says by its path and its headers (named in lower case); None in OpenAI's chat completions."""
    dialect = None if operation is None else DIALECTS.get(operation)
    if dialect is None:
        return None
    passed = tuple((name, headers[name]) for name in PASSED if 0 < len(headers.get(name, b"")) <= _LONGEST)
    read = {name: value for name, value in headers.items() if name in READ}
    return Foreign(dialect, target.decode("latin-1"), read, passed)
