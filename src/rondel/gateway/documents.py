"""A YAML document read into our structs, with the exact place of everything that is wrong in it, and back again.

Numbers, booleans and null are written as YAML 1.2 has them (https://yaml.org/spec/1.2.2/#103-core-schema): `on`, `no`,
`2024-06-01` and `1:30` are text. A field `*_nano` of a struct stands in a document as `*_usd`, in dollars; its digits
are read as they are written, never through a float.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rondel.errors import Invalid, did_you_mean
from rondel.money import NANO

NODE_LIMIT = 200_000
"""Values in one document, aliases counted as often as they are used."""
DEEPEST = 64

T = TypeVar("T")
Path = tuple[str | int, ...]
Short = Callable[[str], object]
"""Makes a struct of the text that may stand in its place."""

Terse = Callable[[Mapping[str, object]], str | None]
"""Text in place of a struct's shown fields, where they can be said so shortly."""

_NULL, _TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"
_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,9})?")
_DIGITS = 20
_ODD = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\U0010ffff]")
_CORE = (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]+$|^0x[0-9a-fA-F]+$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", r"^<<$", "<"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  as the base class has it


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would not read as text."""

    yaml_implicit_resolvers = {first: list(known) for first, known in yaml.SafeDumper.yaml_implicit_resolvers.items()}  # noqa: RUF012  as above

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  the base class's signature
        """Everything is written where it stands."""
        return True


def _amount(dumper: Any, value: Decimal) -> Node:
    return dumper.represent_scalar("tag:yaml.org,2002:float", format(value, "f"))


def _quoted(dumper: Any, value: str) -> Node:
    """Text; what breaks lines in YAML 1.1 alone is escaped, since it would be read as a space."""
    return dumper.represent_scalar(_TEXT, value, style='"' if _ODD.search(value) else None)


for _tag, _pattern, _first in _CORE:
    for _kind in cast("tuple[Any, Any]", (_Loader, _Dumper)):  # whose methods have no types
        _kind.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
_Dumper.add_representer(Decimal, _amount)
_Dumper.add_representer(str, _quoted)


class Place(NamedTuple):
    """Where something stands in a file; both count from 1."""

    line: int
    column: int


class Fault(NamedTuple):
    """One thing that is wrong: where, and a sentence."""

    place: Place
    path: str
    message: str

    def told(self, file: str) -> str:
        """`file:line:column: path: what is wrong`."""
        return f"{file}:{self.place.line}:{self.place.column}: {self.path}: {self.message}"


class Faulty(Invalid):
    """A document with faults, one a line of the message."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(fault.told(file) for fault in self.faults))


def shown(path: Path) -> str:
    """A path as people read it: `routes["gpt-4.1"].guardrails[0].check`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text or "the document"


class Document:
    """One file: its nodes, the places of all that was read, and what was found wrong so far."""

    def __init__(self, file: str, text: str, *, section: str, short: Mapping[type, Short]) -> None:
        """`section` is the name under which the content may stand when the file holds other things too.

        Raises:
            Invalid: it is not YAML; the sentence says where.
        """
        self.file = file
        self.faults: list[Fault] = []
        self._short = short
        self._places: dict[Path, Place] = {}
        self._count = 0
        self.root, self._base = _compose(file, text), cast("Path", ())
        if isinstance(self.root, MappingNode):
            for key, value in _pairs(self.root):
                if _text(key) == section:
                    self.root, self._base = value, (section,)

    def read(self, kind: type[T]) -> T:
        """The content as `kind`, a struct.

        Raises:
            Faulty: with everything that is wrong in it.
        """
        try:
            value = self._read(self.root, kind, ())
        except RecursionError as error:
            raise Invalid(f"{self.file} is nested too deeply.") from error
        self.check()
        return cast("T", value)

    def check(self) -> None:
        """Raise what was found wrong.

        Raises:
            Faulty: something was.
        """
        if self.faults:
            raise Faulty(self.file, self.faults)

    def fault(self, path: Path, message: str) -> None:
        """Note that what stands at `path`, or else what it would stand in, is wrong."""
        at = path
        while at and at not in self._places:
            at = at[:-1]
        self.faults.append(Fault(self._places.get(at, Place(1, 1)), shown((*self._base, *path)), message))

    # By the kind that is wanted

    def _read(self, node: Node, kind: Any, path: Path) -> object:
        self._count += 1
        if self._count > NODE_LIMIT or len(path) > DEEPEST:
            raise Invalid(f"{self.file} holds more than {NODE_LIMIT:,} values, or is nested more than {DEEPEST} deep.")
        self._places.setdefault(path, _place(node))
        if not isinstance(node, ScalarNode) and not node.tag.endswith((":map", ":seq")):
            self.fault(path, f"The tag {node.tag!r} is not taken: write the value as it is.")
            return None
        origin, inner = get_origin(kind), get_args(kind)
        if origin in {Union, UnionType}:
            wanted = [one for one in inner if one is not NoneType]
            if node.tag == _NULL and NoneType in inner:
                return None
            return self._read(node, wanted[0], path) if len(wanted) == 1 else self._leaf(node, kind, path)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(node, kind, path)
        if origin in {tuple, list}:
            return self._sequence(node, inner[0], path, origin)
        if origin is dict:
            return self._mapping(node, inner[1], path)
        if kind in {object, Any}:
            return self._anything(node, path)
        return self._leaf(node, kind, path)

    def _struct(self, node: Node, kind: type[msgspec.Struct], path: Path) -> object:
        short = self._short.get(kind)
        if short is not None and isinstance(node, ScalarNode) and node.tag == _TEXT:
            try:
                return short(_text(node))
            except Invalid as error:
                self.fault(path, error.message)
                return None
        if not isinstance(node, MappingNode):
            self._refuse(node, path, f"a mapping with {_some(_names(kind))}")
            return None
        known = {_shown_name(field.encode_name): field for field in msgspec.structs.fields(kind)}
        before, values = len(self.faults), dict[str, object]()
        for name, key, value in self._entries(node, path):
            field = known.get(name)
            if field is None:
                self._places[*path, name] = _place(key)
                self.fault((*path, name), f"There is no {name!r} here. {did_you_mean(name, known)}")
            elif name != field.encode_name:
                values[field.name] = self._money(value, field.type, (*path, name))
            else:
                values[field.name] = self._read(value, field.type, (*path, name))
        for name, field in known.items():
            if field.required and field.name not in values:
                self.fault(path, f"{name!r} is missing.")
        if len(self.faults) > before:
            return None
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            self.fault(path, f"{error}.")
            return None

    def _sequence(self, node: Node, kind: Any, path: Path, into: type) -> object:
        if not isinstance(node, SequenceNode):
            self._refuse(node, path, "a list")
            return None
        items = cast("list[Node]", node.value)
        return into(self._read(item, kind, (*path, position)) for position, item in enumerate(items))

    def _mapping(self, node: Node, kind: Any, path: Path) -> object:
        if not isinstance(node, MappingNode):
            self._refuse(node, path, "a mapping of names")
            return None
        return {name: self._read(value, kind, (*path, name)) for name, _, value in self._entries(node, path)}

    def _anything(self, node: Node, path: Path) -> object:
        if isinstance(node, MappingNode):
            return self._mapping(node, object, path)
        if isinstance(node, SequenceNode):
            return self._sequence(node, object, path, list)
        return self._scalar(node, path)

    def _leaf(self, node: Node, kind: Any, path: Path) -> object:
        if not isinstance(node, ScalarNode):
            self._refuse(node, path, _wanted(kind))
            return None
        value = self._scalar(node, path)
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            hint = " Put it in quotes." if _bare(kind) is str else ""
            bare = _bare(kind)
            if isinstance(bare, type) and issubclass(bare, Enum) and isinstance(value, str):
                hint = f" {did_you_mean(value, [str(one.value) for one in bare])}"
            self._refuse(node, path, _wanted(kind), hint)
            return None

    def _money(self, node: Node, kind: Any, path: Path) -> object:
        """Dollars as they are written, in nano-dollars."""
        self._places.setdefault(path, _place(node))
        if node.tag == _NULL:
            return self._read(node, kind, path)
        if not isinstance(node, ScalarNode) or not _AMOUNT.fullmatch(_text(node)):
            self._refuse(node, path, "an amount of dollars with at most nine digits after the point, such as 25.00")
            return None
        try:
            return msgspec.convert(int(Decimal(_text(node)) * NANO), kind)
        except msgspec.ValidationError:
            self._refuse(node, path, "an amount of dollars, such as 25.00")
            return None

    def _scalar(self, node: Node, path: Path) -> object:
        text = _text(node)
        match node.tag.rpartition(":")[2]:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" if len(text) < _DIGITS:
                return int(text, 16) if text.startswith("0x") else int(text)
            case "float" if isfinite(value := float(re.sub(r"^([-+]?)\.(?=[a-zA-Z])", r"\1", text))):
                return value
            case "int" | "float":
                self.fault(path, f"{text[:80]} is no number that can be sent.")
                return None
            case "str":
                return text
            case _:
                self.fault(path, f"The tag {node.tag!r} is not taken: write the value as it is.")
                return None

    def _refuse(self, node: Node, path: Path, wanted: str, hint: str = "") -> None:
        self.fault(path, f"This takes {wanted}, not {_described(node)}.{hint}")

    def _entries(self, node: MappingNode, path: Path) -> list[tuple[str, Node, Node]]:
        """Name, key and value of every entry; what `<<` brings in comes first, so that it is overwritten."""
        merged: dict[str, tuple[str, Node, Node]] = {}
        own: dict[str, tuple[str, Node, Node]] = {}
        for key, value in _pairs(node):
            if key.tag == "tag:yaml.org,2002:merge":
                for source in cast("list[Node]", value.value) if isinstance(value, SequenceNode) else [value]:
                    self._count += 1
                    if not isinstance(source, MappingNode) or self._count > NODE_LIMIT or source is node:
                        self.fault(path, "'<<' takes a mapping, or a list of them.")
                    else:
                        merged = {entry[0]: entry for entry in self._entries(source, path)} | merged
                continue
            if not isinstance(key, ScalarNode):
                self.fault(path, f"A name cannot be {_described(key)}.")
                continue
            name = _text(key)
            if name in own:
                self._places[*path, name] = _place(key)
                self.fault((*path, name), f"{name!r} stands here a second time.")
            if not isinstance(value, ScalarNode):
                self._places.setdefault((*path, name), _place(key))
            own[name] = (name, key, value)
        return list((merged | own).values())


# Writing


def plain(value: object, terse: Mapping[type, Terse]) -> object:
    """A struct as a document shows it: without what has its default value, money in dollars."""
    if isinstance(value, msgspec.Struct):
        fields = dict(_shown_fields(value, terse))
        shorten = terse.get(type(value))
        return (shorten(fields) if shorten else None) or fields
    if isinstance(value, Mapping):
        return {name: plain(each, terse) for name, each in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [plain(each, terse) for each in cast("Sequence[object]", value)]
    return value.value if isinstance(value, Enum) else value


def _shown_fields(value: msgspec.Struct, terse: Mapping[type, Terse]) -> Iterator[tuple[str, object]]:
    for field in msgspec.structs.fields(value):
        held: object = getattr(value, field.name)
        if field.required or held != _default(field):
            name = _shown_name(field.encode_name)
            yield name, _dollars(held) if name != field.encode_name else _figure(plain(held, terse))


def _figure(value: object) -> object:
    """A number of a field as people write it: 120 for 120.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def write(content: object) -> str:
    """Plain values as YAML."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


# The schema, for editors


def schema(kind: type[msgspec.Struct], *, short: Iterable[type], title: str) -> dict[str, Any]:
    """A JSON schema (draft 2020-12) of documents that hold a `kind`."""
    _, components = msgspec.json.schema_components(
        [kind], schema_hook=lambda _: {"title": "Any value"}, ref_template="#/$defs/{name}"
    )
    shorter = {one.__name__ for one in short}
    parts = {name: _adapted(part, may_be_text=name in shorter) for name, part in components.items()}
    whole = parts.pop(kind.__name__)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "title": title, "$defs": parts}


def _adapted(part: dict[str, Any], *, may_be_text: bool) -> dict[str, Any]:
    if part.get("type") != "object" or "properties" not in part:
        return part
    amount = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]}
    properties = {
        _shown_name(name): amount if _shown_name(name) != name else value for name, value in part["properties"].items()
    }
    adapted = {**part, "properties": properties, "additionalProperties": False}
    return {"anyOf": [{"type": "string"}, adapted]} if may_be_text else adapted


# Nodes


def _compose(file: str, text: str) -> Node:
    try:
        loader: Any = _Loader(text)
        node: Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise Invalid(f"{file}{where}: This is not YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise Invalid(f"{file}: This is not YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise Invalid(f"{file} is nested too deeply.") from error
    return node if node is not None else MappingNode("tag:yaml.org,2002:map", [])


def _pairs(node: MappingNode) -> list[tuple[Node, Node]]:
    return cast("list[tuple[Node, Node]]", node.value)


def _text(node: Node) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""  # pyright: ignore[reportUnknownMemberType]  yaml says Any


def _place(node: Node) -> Place:
    mark: Any = node.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _described(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    return "nothing" if node.tag == _NULL else repr(_text(node)[:80])


def _bare(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        rest = [one for one in get_args(kind) if one is not NoneType]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind


def _wanted(kind: Any) -> str:
    """What a value has to be, in words."""
    bare, parts = _bare(kind), list[str]()
    for meta in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if isinstance(meta, msgspec.Meta):
            bounds = (("at least", meta.ge), ("more than", meta.gt), ("at most", meta.le), ("less than", meta.lt))
            parts += [f"{word} {bound:g}" for word, bound in bounds if bound is not None]
            parts += [f"the form {meta.pattern}"] if meta.pattern else []
    if isinstance(bare, type) and issubclass(bare, Enum):
        return f"one of {', '.join(str(one.value) for one in bare)}"
    words: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    word = words.get(bare) or f"{kind}"
    return f"{word} of {' and '.join(parts)}" if parts else word


def _names(kind: type[msgspec.Struct]) -> list[str]:
    return [_shown_name(field.encode_name) for field in msgspec.structs.fields(kind)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _shown_name(name: str) -> str:
    return f"{name.removesuffix('_nano')}_usd" if name.endswith("_nano") else name


def _dollars(amount: object) -> object:
    if not isinstance(amount, int):
        return amount
    whole, rest = divmod(amount, NANO)
    return (Decimal(amount) / NANO).normalize() if rest else whole


def _default(field: Any) -> object:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else msgspec.NODEFAULT
