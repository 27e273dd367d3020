"""What a test needs from the machine: missing is a skip with its reason, or a failure where it is required."""

import os
from typing import NoReturn

import pytest

REQUIRED = frozenset(filter(None, os.environ.get("RONDEL_REQUIRE", "").split(",")))
"""RONDEL_REQUIRE=postgres,redis,nginx,chromium,model: what this machine has to have."""


def missing(name: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where `name` is required."""
    if name in REQUIRED:
        pytest.fail(f"RONDEL_REQUIRE names {name!r}, but {reason}")
    pytest.skip(reason)
