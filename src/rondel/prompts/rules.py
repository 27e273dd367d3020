"""Prompt templates: a small language that cannot hang and cannot escape; and what a version's content is.

    {{ name }}   {{ order.items }}   {{ "{{" }}
    {% if name %} ... {% else %} ... {% endif %}      {% if not name %} ... {% endif %}
    {% for item in items %} ... {% endfor %}

A name reaches into JSON values only (keys of objects, positions of lists); there are no calls, filters or arithmetic.
Text is inserted as it is, every other value as JSON; inserted text is never read as a template. A block tag alone on
its line takes the line with it. Everything is bounded: size, tags and depth when compiled, loop turns and output when
rendered.
The gateway renders with this on its hot path: standard library and msgspec only.
"""

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, TypeGuard

import msgspec

from rondel.chat import Message
from rondel.errors import Invalid, TooLarge, did_you_mean
from rondel.prompts.models import NAME, PromptDiff, PromptDraft, PromptVersion

MAX_SOURCE = 400_000  # characters of one template
MAX_TAGS = 5_000  # tags of one template
MAX_DEPTH = 16  # blocks inside one another
MAX_TURNS = 10_000  # turns of all loops of one rendering
MAX_OUTPUT = 2_000_000  # characters of one rendered message

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

_OPENING = re.compile(r"\{[{%]")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = frozenset({"if", "not", "else", "endif", "for", "in", "endfor"})
_SYNTAX = "Write {{ name }}, {% if name %}, {% else %}, {% endif %}, {% for item in items %} or {% endfor %}."


class _Path(NamedTuple):
    line: int
    keys: tuple[str, ...]


class _If(NamedTuple):
    path: _Path
    negated: bool
    then: tuple["_Node", ...]
    otherwise: tuple["_Node", ...]


class _For(NamedTuple):
    item: str
    path: _Path
    body: tuple["_Node", ...]


_Node = str | _Path | _If | _For


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; `variables` are the first names it needs from outside, in order of appearance."""

    nodes: tuple[_Node, ...]
    variables: tuple[str, ...]

    def render(self, variables: Mapping[str, object]) -> str:
        """The text with the values put in.

        Raises:
            Invalid: a variable is missing (in `{% if %}` a missing one is false) or has no such part.
            TooLarge: over MAX_TURNS loop turns or MAX_OUTPUT characters.
        """
        if len(self.nodes) == 1 and isinstance(self.nodes[0], str):
            return self.nodes[0]
        rendering = _Rendering()
        rendering.write(self.nodes, variables)
        return "".join(rendering.parts)


@lru_cache(maxsize=4096)
def compile_template(source: str) -> Template:
    """Read a template once; later calls with the same text are a look-up.

    Raises:
        Invalid: it is not in the language; the sentence names the line.
        TooLarge: over MAX_SOURCE characters or MAX_DEPTH blocks deep.
    """
    if len(source) > MAX_SOURCE:
        raise TooLarge(f"A prompt message may have {MAX_SOURCE:,} characters; this one has {len(source):,}.")
    nodes = _Parser(_tokens(source)).whole()
    found: dict[str, None] = {}
    _collect(nodes, frozenset(), found)
    return Template(nodes, tuple(found))


def render(messages: Sequence[Message], variables: Mapping[str, object]) -> tuple[Message, ...]:
    """The messages with `variables` put into their contents; roles, names and tool calls stay.

    Raises:
        Invalid: a variable is missing; the sentence names it, the line, and the nearest name that was given.
        TooLarge: a bound of the language is passed.
    """
    return tuple(
        replace(message, content=compile_template(message.content).render(variables))
        if "{" in message.content
        else message
        for message in messages
    )


def variables_of(messages: Sequence[Message]) -> tuple[str, ...]:
    """The names that all the messages together need, in order of appearance."""
    return tuple(dict.fromkeys(name for message in messages for name in compile_template(message.content).variables))


def escape(text: str) -> str:
    """`text` as a template that renders to exactly `text`."""
    return re.sub(r"\{{2,}%?|\{%|\{\Z", lambda found: '{{ "' + found[0] + '" }}', text)


def digest(draft: PromptDraft) -> str:
    """The content's name: sha256 over canonical JSON, so equal content has one digest everywhere."""
    return hashlib.sha256(_canonical(draft)).hexdigest()


def check(name: str, draft: PromptDraft) -> tuple[str, ...]:
    """Refuse what cannot be rendered or sent; returns the variables.

    Raises:
        Invalid: a bad name, no messages, an unknown role, or a template error (with message and line).
    """
    check_name("prompt", name)
    if not draft.messages:
        raise Invalid(f"Prompt {name!r} has no messages: give at least one with a role and a content.")
    for position, message in enumerate(draft.messages, start=1):
        if message.role not in ROLES:
            near = did_you_mean(message.role, ROLES)
            raise Invalid(f"Message {position} of prompt {name!r} has the role {message.role!r}. {near}")
        try:
            compile_template(message.content)
        except Invalid as error:
            raise type(error)(f"Message {position} of prompt {name!r}: {error.message}") from error
    if draft.response_schema is not None and not draft.response_schema:
        raise Invalid(f"The response schema of prompt {name!r} is empty: leave it out, or give a JSON schema.")
    return variables_of(draft.messages)


def check_name(kind: str, name: str) -> None:
    """Names of prompts and labels: lower case, digits, and `._/-` inside."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} cannot name a {kind}: use 1 to 100 of a-z, 0-9, '.', '_', '/' and '-', "
            "beginning with a letter or a digit."
        )


def check_label(label: str) -> None:
    """As names, but not a number: `support@3` is version 3."""
    check_name("label", label)
    if label.isdecimal():
        raise Invalid(f"A label is not a number, since {label!r} after '@' means version {label}: use a word.")


def parse_ref(ref: str) -> tuple[str, str | None]:
    """`name`, `name@3` or `name@label` as (name, version or label or None)."""
    name, at, version = ref.partition("@")
    if at and not version:
        raise Invalid(f"{ref!r} names no version after '@': write {name}@3 or {name}@production.")
    return name, version or None


def diff(before: PromptVersion, after: PromptVersion) -> PromptDiff:
    """A unified diff of two versions as people read them."""
    lines = difflib.unified_diff(_lines(before), _lines(after), before.ref, after.ref, lineterm="", n=3)
    return PromptDiff(
        name=after.name,
        before=before.number,
        after=after.number,
        text="\n".join(lines),
        variables_added=tuple(name for name in after.variables if name not in before.variables),
        variables_removed=tuple(name for name in before.variables if name not in after.variables),
    )


def _lines(version: PromptVersion) -> list[str]:
    lines: list[str] = []
    for message in version.messages:
        lines += [f"[{message.role}]", *message.content.splitlines()]
    for title, value in (("parameters", version.parameters), ("response schema", version.response_schema)):
        if value:
            text = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode()
            lines += [f"[{title}]", *text.splitlines()]
    return lines


def _canonical(draft: PromptDraft) -> bytes:
    return msgspec.json.encode(draft, order="sorted")


# Reading


class _Tag(NamedTuple):
    line: int
    text: str


class _Insert(NamedTuple):
    line: int
    text: str


_Token = str | _Tag | _Insert


def _tokens(source: str) -> list[_Token]:
    """Text, `{{ }}` and `{% %}` in order; linear in the source's length."""
    tokens: list[_Token] = []
    position, line, tags = 0, 1, 0
    while opening := _OPENING.search(source, position):
        tags += 1
        if tags > MAX_TAGS:
            raise TooLarge(f"Line {line}: a prompt message may have {MAX_TAGS:,} tags.")
        start, is_tag = opening.start(), opening[0] == "{%"
        closing = "%}" if is_tag else "}}"
        text = source[position:start]
        line += text.count("\n")
        end = _closing(source, start + 2, closing)
        if end < 0:
            raise Invalid(
                f"Line {line}: {opening[0]!r} is not closed by {closing!r}. "
                'A literal pair of braces is written {{ "{{" }}.'
            )
        inner = source[start + 2 : end]
        after = end + 2
        if is_tag and (newline := _alone(source, start, after)) is not None:
            text, after = text.rstrip(" \t"), newline
        if text:
            tokens.append(text)
        tokens.append(_Tag(line, inner.strip()) if is_tag else _Insert(line, inner.strip()))
        line += source.count("\n", start, after)
        position = after
    if position < len(source):
        tokens.append(source[position:])
    return tokens


def _closing(source: str, start: int, closing: str) -> int:
    """Where the tag ends; a string literal such as "}}" right after the opening is stepped over."""
    begin = start
    while begin < len(source) and source[begin] in " \t":
        begin += 1
    if source[begin : begin + 1] in {'"', "'"}:
        quote = source.find(source[begin], begin + 1)
        begin = quote + 1 if quote >= 0 else begin
    return source.find(closing, begin)


def _alone(source: str, start: int, after: int) -> int | None:
    """The position behind the line's end if the tag stands alone on its line, else None."""
    line_start = source.rfind("\n", 0, start) + 1
    if source[line_start:start].strip(" \t"):
        return None
    line_end = source.find("\n", after)
    rest = source[after:] if line_end < 0 else source[after:line_end]
    if rest.strip(" \t\r"):
        return None
    return len(source) if line_end < 0 else line_end + 1


class _Parser:
    """Tokens to nodes by recursive descent, at most MAX_DEPTH deep."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def whole(self) -> tuple[_Node, ...]:
        nodes, tag = self._body(depth=0, ends=())
        if tag is not None:
            raise Invalid(f"Line {tag.line}: {{% {tag.text} %}} closes nothing. {_SYNTAX}")
        return nodes

    def _body(self, *, depth: int, ends: tuple[str, ...]) -> tuple[tuple[_Node, ...], _Tag | None]:
        """Nodes up to a tag of `ends` (returned), to a stray end (returned), or to the end of the source (None)."""
        nodes: list[_Node] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if isinstance(token, str):
                nodes.append(token)
            elif isinstance(token, _Insert):
                nodes.append(_insert(token))
            elif token.text in {"else", "endif", "endfor"}:
                if ends and token.text not in ends:
                    raise Invalid(f"Line {token.line}: expected {{% {ends[-1]} %}}, found {{% {token.text} %}}.")
                return tuple(nodes), token
            else:
                nodes.append(self._block(token, depth + 1))
        return tuple(nodes), None

    def _block(self, tag: _Tag, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise TooLarge(f"Line {tag.line}: blocks may be {MAX_DEPTH} deep.")
        words = tag.text.split()
        match words:
            case ["if", path]:
                return self._if(tag, path, depth, negated=False)
            case ["if", "not", path]:
                return self._if(tag, path, depth, negated=True)
            case ["for", item, "in", path] if _NAME.fullmatch(item) and item not in _KEYWORDS:
                body, end = self._body(depth=depth, ends=("endfor",))
                if end is None:
                    raise Invalid(f"Line {tag.line}: {{% {tag.text} %}} has no {{% endfor %}}.")
                return _For(item, _path(tag.line, path), body)
            case _:
                raise Invalid(f"Line {tag.line}: {{% {tag.text[:80]} %}} is not in the template language. {_SYNTAX}")

    def _if(self, tag: _Tag, path: str, depth: int, *, negated: bool) -> _If:
        then, end = self._body(depth=depth, ends=("else", "endif"))
        otherwise: tuple[_Node, ...] = ()
        if end is not None and end.text == "else":
            otherwise, end = self._body(depth=depth, ends=("endif",))
        if end is None:
            raise Invalid(f"Line {tag.line}: {{% {tag.text} %}} has no {{% endif %}}.")
        return _If(_path(tag.line, path), negated, then, otherwise)


def _insert(token: _Insert) -> _Node:
    text = token.text
    if len(text) >= 2 and text[0] in {'"', "'"} and text[-1] == text[0] and text[0] not in text[1:-1]:
        return text[1:-1]
    return _path(token.line, text)


def _path(line: int, text: str) -> _Path:
    if not _PATH.fullmatch(text) or text in _KEYWORDS:
        raise Invalid(
            f"Line {line}: {text[:80]!r} is not a name. Write {{{{ name }}}} or {{{{ name.part }}}}; "
            'a literal pair of braces is written {{ "{{" }}.'
        )
    return _Path(line, tuple(text.split(".")))


def _collect(nodes: tuple[_Node, ...], bound: frozenset[str], found: dict[str, None]) -> None:
    for node in nodes:
        path = node if isinstance(node, _Path) else None if isinstance(node, str) else node.path
        if path is not None and path.keys[0] not in bound:
            found[path.keys[0]] = None
        match node:
            case _If(_, _, then, otherwise):
                _collect(then, bound, found)
                _collect(otherwise, bound, found)
            case _For(item, _, body):
                _collect(body, bound | {item}, found)
            case _:
                continue


# Rendering


class _Rendering:
    """One rendering and what is left of its bounds."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._characters = MAX_OUTPUT
        self._turns = MAX_TURNS

    def write(self, nodes: tuple[_Node, ...], variables: Mapping[str, object]) -> None:
        for node in nodes:
            match node:
                case str():
                    self._put(node)
                case _Path():
                    self._put(_text(node, _look_up(node, variables)))
                case _If(path, negated, then, otherwise):
                    is_true = _truth(path, variables) is not negated
                    self.write(then if is_true else otherwise, variables)
                case _For():
                    self._loop(node, variables)

    def _loop(self, node: _For, variables: Mapping[str, object]) -> None:
        items = _look_up(node.path, variables)
        if not _is_list(items):
            raise Invalid(f"Line {node.path.line}: {_dotted(node.path)!r} is not a list, so it cannot be looped over.")
        for item in items:
            self._turns -= 1
            if self._turns < 0:
                raise TooLarge(f"Line {node.path.line}: the prompt's loops may take {MAX_TURNS:,} turns in all.")
            self.write(node.body, {**variables, node.item: item})

    def _put(self, text: str) -> None:
        self._characters -= len(text)
        if self._characters < 0:
            raise TooLarge(f"The rendered prompt message is over {MAX_OUTPUT:,} characters.")
        self.parts.append(text)


def _look_up(path: _Path, variables: Mapping[str, object]) -> object:
    if path.keys[0] not in variables:
        name = path.keys[0]
        raise Invalid(f"Line {path.line}: the prompt needs {name!r}, which is not given. {_given(name, variables)}")
    value = variables[path.keys[0]]
    for depth, key in enumerate(path.keys[1:], start=1):
        part = _part(value, key)
        if part is _MISSING:
            known = did_you_mean(key, map(str, value)) if _is_object(value) else "It is not an object."
            raise Invalid(f"Line {path.line}: {'.'.join(path.keys[:depth])!r} has no part {key!r}. {known}")
        value = part
    return value


def _given(name: str, variables: Mapping[str, object]) -> str:
    given = f"Given: {', '.join(sorted(variables)) or 'nothing'}."
    near = difflib.get_close_matches(name, sorted(variables), n=1)
    return f"{given} Did you mean {near[0]!r}?" if near else given


def _truth(path: _Path, variables: Mapping[str, object]) -> bool:
    value: object = variables
    for key in path.keys:
        value = _part(value, key)
    return value is not _MISSING and bool(value)


_MISSING = object()


def _part(value: object, key: str) -> object:
    if _is_object(value):
        return value.get(key, _MISSING)
    if _is_list(value) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
        return value[int(key)]
    return _MISSING


def _text(path: _Path, value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise Invalid(f"Line {path.line}: {_dotted(path)!r} is not text or JSON.") from error


def _dotted(path: _Path) -> str:
    return ".".join(path.keys)


def _is_object(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def as_draft(version: PromptVersion) -> PromptDraft:
    """The content of a version, for another name or another edit."""
    return PromptDraft(version.messages, version.parameters, version.response_schema)
