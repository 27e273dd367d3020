"""Load: wrk for requests, our own client for streams."""

import asyncio
import json
import re
import subprocess
import tempfile
import time
from typing import NamedTuple

STAMP = re.compile(rb"t=([a-j]+)z")
BETWEEN = re.compile(rb"\r\n[0-9a-fA-F]+\r\n")
"""What stands between two chunks of a chunked body; a relay may cut anywhere."""
DIGITS = bytes.maketrans(b"abcdefghij", b"0123456789")
KEY = "sk-rondel-bench"
REPORT = """
done = function(s, l, r) io.write(string.format('{"work":%d,"seconds":%f,"p50_us":%f,"p99_us":%f,"errors":%d}\\n',
  s.requests, s.duration / 1e6, l:percentile(50), l:percentile(99),
  s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout + s.errors.status)) end
"""


class Door(NamedTuple):
    """Where a server is asked, and how."""

    port: int
    model: str = "mock"
    path: str = "/v1/chat/completions"
    key: str = KEY
    headers: tuple[tuple[str, str], ...] = ()
    ends_with_done: bool = True
    """Whether its streams have to end with `[DONE]`, as OpenAI's do."""

    @property
    def all_headers(self) -> dict[str, str]:
        """Of every request."""
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json", **dict(self.headers)}


class Load(NamedTuple):
    """What was done: requests or pieces, in how long, how quickly, with how many errors.

    Of streams the times are those that pieces were under way; `first_us` are those of each stream's first piece, and
    `held` counts streams whose first piece came only after the second had been sent.
    """

    work: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int
    first_us: tuple[float, ...] = ()
    held: int = 0


class Streams(NamedTuple):
    """How streams are asked for: `interval_ms` 0 sends pieces as fast as they are taken, `personal` puts an e-mail
    address, cut in two, into every eighth pair of pieces."""

    count: int = 32
    chunks: int = 200
    interval_ms: float = 0
    personal: bool = False


def body(model: str, prompt: str, size: int, *, stream: bool = False) -> bytes:
    """A chat request whose prompt has about `size` bytes."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"{prompt} . {'lorem ipsum ' * (size // 12)}"},
    ]
    told = {"model": model, "max_tokens": 64, "messages": messages, **({"stream": True} if stream else {})}
    return json.dumps(told).encode()


def requests(door: Door, *, connections: int, seconds: float, size: int) -> Load:
    """Closed loop of `connections` connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method="POST"\nwrk.body={json.dumps(body(door.model, "hello", size).decode())}\n')
        for name, value in door.all_headers.items():
            script.write(f"wrk.headers[{json.dumps(name)}]={json.dumps(value)}\n")
        script.write(REPORT)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
        url = f"http://127.0.0.1:{door.port}{door.path}"
        out = subprocess.run([*command, "-s", script.name, url], capture_output=True, text=True, check=True).stdout
    return Load(**json.loads(out.strip().splitlines()[-1]))


async def streams(door: Door, asked: Streams, seconds: float) -> Load:
    """Keep streams open for so long, each a new request on its connection when the last one has ended."""
    prompt = f"@mock chunks={asked.chunks} interval_ms={asked.interval_ms:g} personal={int(asked.personal)} "
    request = body(door.model, prompt, 0, stream=True)
    head = f"POST {door.path} HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in door.all_headers.items())
    data = f"{head}content-length: {len(request)}\r\n\r\n".encode() + request
    ways: list[float] = []
    firsts: list[float] = []
    pieces = errors = held = 0
    begun = time.monotonic()

    async def one(number: int) -> None:
        nonlocal pieces, errors, held
        await asyncio.sleep(number * asked.interval_ms / 1e3 / asked.count)  # so that their clocks do not agree
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=2**20)
        while time.monotonic() < begun + seconds:
            writer.write(data)
            got: list[bytes] = []
            tail, first = b"", 0
            while not tail.endswith(b"0\r\n\r\n"):
                piece = await reader.read(65536)
                now = time.monotonic_ns()
                if not piece:
                    errors += 1
                    return
                stamps = _sent(piece)
                if stamps and not first:
                    first = now
                    firsts.append((now - stamps[0]) / 1e3)
                ways.extend((now - stamp) / 1e3 for stamp in stamps)
                got.append(piece)
                tail = (tail + piece)[-64:]
            whole = BETWEEN.sub(b"", b"".join(got))
            sent = _sent(whole)
            pieces += len(sent)
            errors += len(sent) != asked.chunks or (door.ends_with_done and b"data: [DONE]" not in whole)
            held += len(sent) > 1 and first > sent[1]
        writer.close()

    await asyncio.gather(*(one(number) for number in range(asked.count)))
    ways.sort()
    p50, p99 = (ways[int(len(ways) * share)] if ways else 0.0 for share in (0.5, 0.99))
    return Load(pieces, time.monotonic() - begun, p50, p99, errors, tuple(firsts), held)


def _sent(data: bytes) -> list[int]:
    """When the pieces were sent: nanoseconds of the monotonic clock, whose digits are written as letters."""
    return [int(stamp.translate(DIGITS)) for stamp in STAMP.findall(data)]
