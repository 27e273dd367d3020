"""`Client`: what an application asks of Rondel beside its model calls."""

import os
from typing import Any

from rondel.client.http import ApiError, HttpApi


class Client:
    """A connection to one project.

    `base_url` and `api_key` default to RONDEL_URL (http://127.0.0.1:8400) and RONDEL_KEY. The model calls themselves
    go through the client an application already has, with `client.openai_base_url` as its base URL.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, environment: str | None = None
    ) -> None:
        url = base_url or os.environ.get("RONDEL_URL", "http://127.0.0.1:8400")
        key = api_key or os.environ.get("RONDEL_KEY", "")
        if not key:
            raise ApiError("There is no key: pass api_key, or set RONDEL_KEY.", code="unauthorized")
        self.api = HttpApi(url, key, environment=environment)

    @property
    def openai_base_url(self) -> str:
        """What to give an OpenAI client as `base_url`."""
        return f"{self.api.base_url}/v1"

    def feedback(
        self, response_id: str, name: str, value: float | bool | str, *, comment: str | None = None
    ) -> dict[str, Any]:
        """Score an answer by its id (`response.id`): a number, true/false, or a text such as a correction."""
        return self.api.post("/v1/feedback", {"id": response_id, "name": name, "value": value, "comment": comment})

    def prompt(self, name: str, reference: str | int = "production") -> dict[str, Any]:
        """A prompt version, by label (`production`) or number (`3`); a name may hold slashes."""
        return self.api.get(f"/api/v1/prompts/{name}@{reference}")

    def trace(self, trace_id: str) -> dict[str, Any]:
        """A trace with all its spans."""
        return self.api.get(f"/api/v1/traces/{trace_id}")
