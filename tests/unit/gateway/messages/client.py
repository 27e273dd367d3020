"""The official client over a transport in memory: what it sends is kept, and what it gets is given."""

from collections.abc import Sequence
from itertools import pairwise

import httpx2
from anthropic import Anthropic


class Wire:
    """One end of the wire: the bodies that came, and the answers that go."""

    def __init__(self, *answers: bytes, status: int = 200, is_stream: bool = False) -> None:
        self._answers = list(answers)
        self._status = status
        self._type = "text/event-stream" if is_stream else "application/json"
        self.bodies: list[bytes] = []
        self.headers: list[httpx2.Headers] = []
        self.targets: list[str] = []

    def client(self) -> Anthropic:
        """A client at the other end."""
        transport = httpx2.MockTransport(self._answer)
        http_client = httpx2.Client(transport=transport)
        return Anthropic(api_key="sk-rondel-1", base_url="http://gateway", max_retries=0, http_client=http_client)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(request.content)
        self.headers.append(request.headers)
        self.targets.append(request.url.raw_path.decode())
        headers = {"content-type": self._type}
        return httpx2.Response(self._status, headers=headers, content=self._answers.pop(0))


def whole(text: str = "ok") -> bytes:
    """The least answer that the client takes."""
    return (
        b'{"id":"msg_1","type":"message","role":"assistant","model":"m","stop_reason":"end_turn","stop_sequence":null,'
        b'"content":[{"type":"text","text":"%b"}],"usage":{"input_tokens":1,"output_tokens":1}}' % text.encode()
    )


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The pieces between the cuts."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]
