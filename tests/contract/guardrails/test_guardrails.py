"""The bundled guardrails under their contract."""

from collections.abc import Sequence

import pytest

from rondel.guardrails.checks.json_schema import JsonSchema
from rondel.guardrails.checks.pii import PersonalData
from rondel.guardrails.ports import GUARDRAILS, Guardrail
from rondel.testing.guardrails import GuardrailContract


class TestPersonalData(GuardrailContract):
    @pytest.fixture
    def guardrail(self) -> Guardrail:
        return PersonalData()

    @pytest.fixture
    def texts(self) -> Sequence[str]:
        return [
            "Mail jane.o+x@exa-mple.co.uk or bob@b.io; card 4111 1111 1111 1111, ssn 078-05-1120.",
            "Key sk-abcdEFGH1234567890abcd! From GB82 WEST 1234 5698 7654 32 to 192.168.100.200.",
            "Call +1 (555) 123-4567x89 or 020 7946 0958. Total 12 345 items at 10:30 on 2024-01-15, v1.2.3 ok.",
            "A" * 450 + "@" + "b" * 70 + ".com " + "1" * 40,
            "",
        ]


class TestJsonSchema(GuardrailContract):
    @pytest.fixture
    def guardrail(self) -> Guardrail:
        return JsonSchema(schema={"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})

    @pytest.fixture
    def texts(self) -> Sequence[str]:
        return ['{"a": 1}', '{"a": "something long"}', "no json at all", "[1]", ""]


def test_all_bundled_guardrails_are_installed_plugins() -> None:
    assert {info.name for info in GUARDRAILS.list()} >= {"pii", "json_schema"}
    assert GUARDRAILS.get("pii") is PersonalData
