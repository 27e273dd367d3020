"""What the modules that `make wheel` compiles must not do: each of these runs interpreted, and fails compiled."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_HOOKS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
COMPILED: list[str] = [path.removeprefix("/") for path in _HOOKS["mypyc"]["include"]]
_DECODED = ("Struct",)
_OTHER_BASES = {"NamedTuple", "Protocol", "Enum", "StrEnum"}


def _classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def _bases(made: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).rpartition(".")[2] for base in made.bases]


def set_on_classes(tree: ast.AST) -> list[str]:
    """Attributes that plain classes have from the class: compiled, what is None or a name's value does not exist."""
    found: list[str] = []
    for made in _classes(tree):
        if made.decorator_list or {*_DECODED, *_OTHER_BASES} & set(_bases(made)):
            continue
        for node in made.body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            is_literal = isinstance(value, ast.Constant) and value.value is not None
            is_slots = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__"
            if value is not None and not is_literal and not is_slots:
                found.append(f"{made.name}, line {node.lineno}: {ast.unparse(node)}")
    return found


def caught_as_two_types(tree: ast.AST) -> list[str]:
    """Names that stand for two types of exceptions in one function: compiled, the second is a TypeError."""
    found: list[str] = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            types: dict[str, set[str]] = defaultdict(set)
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                    types[node.name].add(ast.unparse(node.type))
            found += [f"{function.name}: {name}" for name, kinds in types.items() if len(kinds) > 1]
    return found


@cache
def _inherited() -> dict[str, str]:
    """Class names that something in `src` inherits from, by the file of one heir that is not compiled."""
    heirs: dict[str, str] = {}
    for path in (ROOT / "src").rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if name not in COMPILED:
            for made in _classes(ast.parse(path.read_text())):
                heirs |= dict.fromkeys(_bases(made), name)
    return heirs


@pytest.mark.parametrize("path", COMPILED)
def test_compiled_modules_keep_to_what_compiles(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert set_on_classes(tree) == []
    assert caught_as_two_types(tree) == []
    heirs = _inherited()
    plain = [made.name for made in _classes(tree) if not {*_DECODED, *_OTHER_BASES} & set(_bases(made))]
    assert [f"{name} by {heirs[name]}" for name in plain if name in heirs] == []


def test_the_rules_find_what_they_are_for() -> None:
    tree = ast.parse(
        "class A:\n x: int | None = None\n y = Z\n z = 1\n __slots__ = ('a',)\n"
        "def f():\n try: ...\n except E as e: ...\n except F as e: ...\n"
    )
    assert set_on_classes(tree) == ["A, line 2: x: int | None = None", "A, line 3: y = Z"]
    assert caught_as_two_types(tree) == ["f: e"]
