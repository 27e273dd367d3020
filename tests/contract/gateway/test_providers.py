"""The bundled providers under their contract."""

from typing import Any

import pytest

from rondel.gateway.ports import PROVIDERS, Provider
from rondel.testing.providers import ProviderContract


@pytest.mark.parametrize("name", [info.name for info in PROVIDERS.list()])
class TestProviders(ProviderContract):
    @pytest.fixture
    def provider(self, name: str) -> Provider:
        plugin: Any = PROVIDERS.get(name)
        return plugin()


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(Exception, match="Did you mean 'openai'"):
        PROVIDERS.get("opnai")
