"""The wire format of a caller who speaks OpenAI's Responses API."""

from collections.abc import Mapping

import msgspec

from rondel.gateway.dialects.responses.reading import read_head, read_request
from rondel.gateway.dialects.responses.writing import ResponsesWriter
from rondel.gateway.models import Fields, Head
from rondel.gateway.ports import Problem, Writer


class Responses:
    """`POST /v1/responses` for any model that answers chat completions."""

    def head(self, target: str, headers: Mapping[bytes, bytes], body: bytes) -> Head:  # noqa: ARG002  all is in the body
        """What routing needs.

        Raises:
            Invalid: it is no such request.
        """
        return read_head(body)

    def read(self, body: bytes, head: Head) -> Fields:  # noqa: ARG002  the body holds the head's fields too
        """The request in OpenAI's chat dialect.

        Raises:
            Invalid: it is no such request, or it needs a server that stores responses or runs tools.
        """
        return read_request(body)

    def writer(self, fields: Fields, head: Head, body: bytes) -> Writer:  # noqa: ARG002  the body says more than the fields
        """For the answer to the request."""
        return ResponsesWriter(body, head)

    def error(self, status: int, problem: Problem) -> bytes:
        """OpenAI's error body."""
        kind = problem.type or ("invalid_request_error" if status < 500 else "server_error")
        told = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code}
        return msgspec.json.encode({"error": told})
