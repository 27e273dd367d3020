"""Webhooks reach what is public, and nothing inside."""

import pytest

from rondel.errors import Forbidden, Invalid, NotFound
from rondel.monitoring.alerts.webhook import Webhook, resolve
from rondel.monitoring.ports import channel_of


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "::ffff:127.0.0.1"],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(Forbidden, match="not public"):
        resolve(host, 80, allow_private=False)
    assert resolve(host, 80, allow_private=True)


def test_a_public_address_is_taken_as_it_is() -> None:
    assert resolve("93.184.215.14", 443, allow_private=False) == "93.184.215.14"


def test_channels_are_made_of_a_plugin_and_its_options() -> None:
    assert channel_of("webhook", {"url": "https://example.com"}) == Webhook("https://example.com")
    with pytest.raises(NotFound, match="Did you mean 'webhook'"):
        channel_of("webhok", {})
    with pytest.raises(Invalid, match="uri"):
        channel_of("webhook", {"uri": "https://example.com"})
