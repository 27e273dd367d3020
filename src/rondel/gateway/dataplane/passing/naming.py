"""Which endpoints are passed on, what their paths may hold, and how records name them. All pure."""

import re
from typing import NamedTuple
from urllib.parse import unquote

from rondel.errors import Forbidden, Invalid
from rondel.gateway.models import Operation

PASS = "/pass/"  # noqa: S105  a path, not a password
MCP = "/mcp/"
FAMILIES = ("audio", "batches", "files", "fine_tuning", "images", "moderations", "rerank", "uploads", "vector_stores")
"""What stands under `/v1/` as it does at OpenAI, whatever the connection: it goes to its base URL."""

_V1 = tuple(f"/v1/{family}".encode() for family in FAMILIES)
_SECRETS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "token"})
"""Parameters of a query by which somebody's key could travel."""
_WORD = re.compile(r"[A-Za-z_-]{1,32}|v[0-9]{1,2}(?:alpha|beta)?[0-9]?")
_DEEP = {
    "chat/completions": Operation.CHAT,
    "chat": Operation.CHAT,
    "embed": Operation.EMBEDDING,
    "messages/count_tokens": Operation.COUNT_TOKENS,
    "completions": Operation.COMPLETION,
    "embeddings": Operation.EMBEDDING,
    "responses": Operation.RESPONSES,
    "messages": Operation.MESSAGES,
}
_BEFORE = re.compile(r"(?:(?:v[0-9]\w*|openai|api|inference|deployments/[^/]+|engines/[^/]+|models/[^/]+)/)*")
_OF_MODEL = re.compile(
    r".*(?::(?:stream)?(?:generatecontent|rawpredict)|:(?:batch)?embedcontents?|/converse(?:-stream)?"
    r"|/invoke(?:-with-response-stream)?)",
    re.DOTALL,
)
_DEPTH = 12
_ENCODED_TWICE = 4


class Named(NamedTuple):
    """Where a request goes: `rest` is the path behind the connection's base URL, `query` without its `?`.

    `template` is the path as records tell it; `connection` is empty where the model, or a header, has to say it.
    """

    rest: str
    query: str
    template: str
    connection: str = ""
    family: str = ""


def is_passed(path: bytes) -> bool:
    """Whether a path is for a provider or an MCP server."""
    if path.startswith((b"/pass/", b"/mcp/")):
        return True
    return path.startswith(_V1) and any(path == one or path.startswith(one + b"/") for one in _V1)


def name(method: str, target: str) -> Named:
    """What the target of a request names.

    Raises:
        Invalid: its path leads elsewhere than it seems to.
        Forbidden: it is served in depth, under another path.
    """
    path, _, query = target.partition("?")
    plain = _plain(path)
    query = "&".join(part for part in query.split("&") if part and _parameter(part) not in _SECRETS)
    if path.startswith(PASS):
        connection, _, rest = path.removeprefix(PASS).partition("/")
        connection = unquote(connection)
        if not connection or not rest:
            raise Invalid("Write /pass/CONNECTION/ and then the path behind the connection's base URL.")
        _check_deep(method, plain.removeprefix(PASS).partition("/")[2])
        return Named(f"/{rest}", query, f"{PASS}{connection}{template(f'/{rest}')}", connection)
    rest = path.removeprefix("/v1")
    return Named(rest, query, template(path), family=rest.split("/")[1])


def template(path: str) -> str:
    """A path with `{id}` for each part that may be one request's own: what is no plain word."""
    parts = path.split("/")[1 : _DEPTH + 1]
    return "".join(f"/{part}" if _WORD.fullmatch(part) else "/{id}" for part in parts)


def _parameter(part: str) -> str:
    return unquote(part.partition("=")[0]).lower()


def _plain(path: str) -> str:
    """The path decoded, however often it was encoded; refused when it climbs or hides something."""
    plain = path
    for _ in range(_ENCODED_TWICE):
        before, plain = plain, unquote(plain)
        if before == plain:
            break
    names = plain.replace("\\", "/").split("/")
    if any(one in {".", ".."} for one in names) or "" in names[1:-1] or "\\" in plain or not plain.isprintable():
        raise Invalid("The path must not hold '.', '..', empty parts or backslashes, encoded or not.")
    return plain


def _check_deep(method: str, rest: str) -> None:
    """What the gateway reads in depth must not be passed by its guardrails, prices and records."""
    if method != "POST":
        return
    lower = rest.lower().rstrip("/")
    operation = _DEEP.get(_BEFORE.sub("", lower, count=1))
    if operation is not None or _OF_MODEL.fullmatch(f"/{lower}"):
        where = f"/v1/{operation.value}" if operation else "/v1/chat/completions"
        raise Forbidden(
            f"A model's answers are not passed on unread: ask {where} with model CONNECTION/MODEL, where guardrails, "
            "prices and budgets hold."
        )
