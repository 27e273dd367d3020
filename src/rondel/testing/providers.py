"""The contract of provider plugins. Subclass it, and give `provider`."""

from dataclasses import fields, is_dataclass

import msgspec
import pytest

from rondel.gateway.dialects.extras import ASIDE
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Capability, Provider
from rondel.gateway.rules import assemble, parse_address, raw

FIELDS = {
    "model": raw("route"),
    "messages": raw([{"role": "user", "content": "hi"}]),
    "temperature": msgspec.Raw(b"0.50"),
}
GARBAGE = (
    b"",
    b"<html>Bad gateway</html>",
    b"\x00\xff\xfe" * 9,
    b"{}",
    b"[" * 50_000,
    b'data: {"error"\n\ndata: 5\n\n',
)
"""What comes from where no such server is."""


class ProviderContract:
    """What every provider holds to, whatever dialect it speaks."""

    @pytest.fixture
    def provider(self) -> Provider:
        """The provider under test."""
        raise NotImplementedError

    def test_it_stands_somewhere_or_has_to_be_told(self, provider: Provider) -> None:
        if provider.base_url:
            parse_address(provider.base_url)

    def test_its_path_begins_with_a_slash(self, provider: Provider) -> None:
        for operation in Operation:
            assert provider.path(Call(operation, "m", FIELDS, is_stream=False)).startswith("/")

    def test_a_secret_is_in_the_headers_and_nowhere_else(self, provider: Provider) -> None:
        call = Call(Operation.CHAT, "m", FIELDS, is_stream=False)
        assert any("sk-secret" in value for _, value in provider.headers("sk-secret"))
        assert not any("sk-secret" in value for _, value in provider.headers(""))
        assert "sk-secret" not in provider.path(call)
        assert b"sk-secret" not in provider.encode(call)

    def test_it_asks_for_the_targets_model(self, provider: Provider) -> None:
        call = Call(Operation.CHAT, "their-model", FIELDS, is_stream=False)
        assert "their-model" in provider.path(call) or b"their-model" in provider.encode(call)
        assert b'"route"' not in provider.encode(call)

    def test_what_it_does_not_translate_keeps_its_bytes(self, provider: Provider) -> None:
        call = Call(Operation.CHAT, "m", FIELDS, is_stream=False)
        if provider.decoder(call) is None:
            assert b'"temperature":0.50' in provider.encode(call)
            original = b'{ "model":"m" }'
            same = Call(Operation.CHAT, "m", {"model": raw("m")}, is_stream=False, original=original)
            assert provider.encode(same) == original

    def test_what_is_asked_in_its_own_dialect_keeps_its_bytes(self, provider: Provider) -> None:
        for operation in provider.operations:
            told = {"input": raw("x")} if operation is Operation.GENERATE else {"model": raw("m"), "input": raw("x")}
            original = b" %b " % assemble(told)
            call = Call(operation, "m", told, is_stream=False, original=original)
            if operation is Operation.EMBEDDING and provider.decoder(call) is not None:
                continue  # translated: see the port
            assert provider.encode(call) == original

    def test_what_another_dialect_says_aside_goes_to_no_server_by_that_name(self, provider: Provider) -> None:
        told = {**FIELDS, ASIDE: raw({"whose": {"said": 1}})}
        sent = provider.encode(Call(Operation.CHAT, "m", told, is_stream=False, is_translated=True))
        assert ASIDE.encode() not in sent

    @pytest.mark.parametrize("is_stream", [True, False])
    @pytest.mark.parametrize("garbage", GARBAGE)
    def test_garbage_is_no_finished_answer(self, provider: Provider, garbage: bytes, is_stream: bool) -> None:
        decoder = provider.decoder(Call(Operation.CHAT, "m", FIELDS, is_stream=is_stream))
        if decoder is not None:
            chunks = [*decoder.feed(garbage[:7]), *decoder.feed(garbage[7:]), *decoder.end()]
            assert not any(choice.get("finish_reason") for chunk in chunks for choice in chunk["choices"])

    @pytest.mark.parametrize("garbage", GARBAGE)
    def test_garbage_is_no_error_of_its(self, provider: Provider, garbage: bytes) -> None:
        assert provider.problem(500, garbage) is None

    def test_its_capabilities_are_known(self, provider: Provider) -> None:
        assert set(provider.capabilities) <= set(Capability)

    def test_usage_that_says_nothing_is_none(self, provider: Provider) -> None:
        assert provider.usage(b"{}") is None
        assert provider.usage(b"not json") is None

    def test_its_options_are_the_fields_of_a_frozen_dataclass(self, provider: Provider) -> None:
        assert is_dataclass(provider)
        assert all(field.init for field in fields(provider))
