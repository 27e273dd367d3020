"""What is said of the providers is so, and the page says it."""

import ast
from pathlib import Path
from typing import Any

import pytest
from tools.providers_page import PAGE, bundled, render

from rondel.gateway.models import Operation
from rondel.gateway.ports import PROVIDERS, Call
from rondel.gateway.rules import raw
from tests.contract.gateway.evidence import EVIDENCE, NONE, State

ROOT = Path(__file__).parents[3]


def _words(path: Path) -> set[str]:
    """Modules and names that a file of tests imports, and texts that stand in it, with what its helpers import."""
    words: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            words |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Import):
            words |= {each.name for each in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= set(node.value.split())
    return words


@pytest.mark.parametrize("name", sorted(EVIDENCE))
def test_the_test_of_a_provider_is_there_and_uses_what_it_is_said_to_use(name: str) -> None:
    evidence = EVIDENCE[name]
    plugin: Any = PROVIDERS.get(name)
    test = ROOT / evidence.test
    words = _words(test)
    helpers = [ROOT / f"{word.replace('.', '/')}.py" for word in words if word.startswith("tests.")]
    near = words.union(*(_words(helper) for helper in helpers if helper.is_file()))
    assert evidence.by in near, f"{evidence.test} does not use {evidence.by}"
    assert near & {name, f"{plugin.__module__}.{plugin.__name__}"}, f"{evidence.test} does not name {name}"


@pytest.mark.parametrize("name", bundled())
def test_a_provider_that_translates_is_tested(name: str) -> None:
    plugin: Any = PROVIDERS.get(name)
    call = Call(Operation.CHAT, "m", {"messages": raw([])}, is_stream=True)
    if plugin().decoder(call) is not None:
        assert EVIDENCE.get(name, NONE).state is not State.UNTESTED


def test_evidence_is_of_providers_that_are_there() -> None:
    assert set(EVIDENCE) <= set(bundled())


def test_the_page_of_the_providers_is_as_it_has_to_be() -> None:
    assert PAGE.read_text() == render(), "run: python -m tools.providers_page"
