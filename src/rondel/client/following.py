"""Waiting for a job over the API."""

import threading
from collections.abc import Callable
from typing import Any

from rondel.client.http import Api

FINAL = frozenset({"succeeded", "failed", "cancelled"})
POLL_S = 0.5


def follow(api: Api, job: str, say: Callable[[str], None]) -> dict[str, Any]:
    """The job when it has ended; `say` gets each line that it writes, as it comes."""
    position = 0
    while True:
        found: dict[str, Any] = api.get(f"/api/v1/jobs/{job}")
        position = lines(api, job, position, say)
        if found["state"] in FINAL:
            return found
        threading.Event().wait(POLL_S)


def lines(api: Api, job: str, after: int, say: Callable[[str], None]) -> int:
    """Say the lines behind position `after`; the last position."""
    for line in api.get(f"/api/v1/jobs/{job}/logs", after=after):
        say(str(line["text"]))
        after = int(line["position"])
    return after
