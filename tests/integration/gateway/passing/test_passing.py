"""Other endpoints through a real worker: bytes both ways, under the same keys, limits and records."""

import asyncio
import io
import json
import socket
import time

import httpx
import openai
import pytest

from rondel.gateway.models import Allowance, Limits
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from tests.integration.gateway.gateway import KEY, Gateway, connection, key, release, target
from tests.integration.gateway.passing.server import Exchange, Server

PRICE = ModelPrice(input_nano=1_000_000_000, output_nano=4_000_000_000, version="p1")
AUTH = {"authorization": f"Bearer {KEY}"}


def _url(gateway: Gateway, path: str) -> str:
    return f"http://127.0.0.1:{gateway.port}{path}"


def test_a_file_goes_up_and_comes_down_as_it_is(gateway: Gateway, server: Server) -> None:
    content = bytes(range(256)) * 40_000

    async def keep(exchange: Exchange) -> None:
        body = await exchange.read()
        assert content in body
        await exchange.json({"id": "file-1", "object": "file", "bytes": len(content), "created_at": 1,
                             "filename": "a.bin", "purpose": "user_data", "status": "processed"})  # fmt: skip

    async def give(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.answer(content, kind="application/octet-stream")

    server.behaviours |= {"/v1/files": keep, "/v1/files/file-1/content": give}
    gateway.start()
    client = gateway.client()
    made = client.files.create(file=("a.bin", io.BytesIO(content)), purpose="user_data")
    assert made.id == "file-1"
    assert client.files.content("file-1").read() == content
    record = gateway.record(2)
    assert record.operation == "pass"
    assert record.passed is not None
    assert (record.passed.method, record.passed.path) == ("GET", "/v1/files/{id}/content")
    assert (record.status, record.answer_bytes, record.answer_body) == (200, len(content), b"")
    assert record.cost_nano is None
    first = gateway.records()[0]
    assert first.request_bytes > len(content)
    assert not first.request_body, "a form is no text: it is not kept"


def test_the_connection_s_key_goes_in_place_of_the_caller_s(gateway: Gateway, server: Server) -> None:
    gateway.start()
    theirs = {
        **AUTH,
        "x-api-key": "theirs",
        "x-goog-api-key": "theirs",
        "api-key": "theirs",
        "cookie": "theirs",
        "openai-organization": "theirs",
        "x-forwarded-for": "theirs",
        "proxy-authorization": "theirs",
        "connection": "x-mine",
        "x-mine": "theirs",
        "openai-beta": "assistants=v2",
    }
    answer = httpx.get(_url(gateway, "/pass/up/assistants?limit=2&key=theirs&API_KEY=theirs"), headers=theirs)
    assert answer.status_code == 200
    seen = server.seen[0]
    assert (seen.method, seen.target) == ("GET", "/v1/assistants?limit=2")
    assert seen.header("authorization") == "Bearer sk-upstream"
    assert seen.header("openai-beta") == "assistants=v2"
    assert not [value for _, value in seen.headers if "theirs" in value or KEY in value]
    assert (seen.header("traceparent") or "").startswith(f"00-{answer.headers['x-rondel-trace-id']}-")


def test_rate_limits_and_request_ids_of_the_provider_are_kept(gateway: Gateway, server: Server) -> None:
    async def tell(exchange: Exchange) -> None:
        await exchange.read()
        extra = "x-request-id: req_up\r\nx-ratelimit-remaining-requests: 7\r\nset-cookie: a=b\r\nkeep-alive: x\r\n"
        await exchange.json({"ok": True}, extra=extra)

    server.behaviours["/v1/fine_tuning/jobs"] = tell
    gateway.start()
    answer = httpx.get(_url(gateway, "/v1/fine_tuning/jobs"), headers=AUTH)
    assert answer.headers["x-request-id"] == "req_up"
    assert answer.headers["x-ratelimit-remaining-requests"] == "7"
    assert answer.headers["x-rondel-request-id"] == gateway.record().request_id
    assert "set-cookie" not in answer.headers
    assert "keep-alive" not in answer.headers


def test_a_picture_is_routed_by_its_model_and_priced_by_its_usage(gateway: Gateway, server: Server) -> None:
    price = ModelPrice(input_nano=5_000_000_000, output_nano=10_000_000_000, image_out_nano=40_000_000_000, version="p")
    gateway.write(releases=(release("live", target("gpt-image-1", price=price)),))

    async def paint(exchange: Exchange) -> None:
        await exchange.read()
        usage = {"input_tokens": 10, "output_tokens": 1000, "total_tokens": 1010,
                 "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}}  # fmt: skip
        await exchange.json({"created": 1, "data": [{"b64_json": "A" * 3_000_000}], "usage": usage})

    server.behaviours["/v1/images/generations"] = paint
    gateway.start()
    made = gateway.client().images.generate(
        model="support",
        prompt="a cat",
        n=1,
        extra_body={"api_base": "http://127.0.0.1:9/steal", "base_url": "http://x"},
    )
    assert made.data is not None
    assert len(made.data[0].b64_json or "") == 3_000_000
    asked = json.loads(server.seen[0].body)
    assert (asked["model"], asked["prompt"]) == ("gpt-image-1", "a cat")
    assert asked["api_base"] == "http://127.0.0.1:9/steal", "an unknown field is passed on, and nobody goes by it"
    assert len(server.seen) == 1
    record = gateway.record()
    assert record.tokens is not None
    assert (record.tokens.input_uncached, record.tokens.image_out) == (10, 1000)
    assert record.cost_nano == record.charged_nano == 10 * 5_000 + 1000 * 40_000
    assert (record.route, record.release_id, record.model_served) == ("support", "rel_live", "gpt-image-1")
    assert record.clipped


def test_a_form_s_model_is_written_over_while_the_file_streams(gateway: Gateway, server: Server) -> None:
    gateway.write(releases=(release("live", target("whisper-large-long-name", price=PRICE)),))
    sound = b"RIFF" + bytes(1_000_000)

    async def hear(exchange: Exchange) -> None:
        await exchange.read()
        usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19,
                 "input_token_details": {"text_tokens": 4, "audio_tokens": 10}}  # fmt: skip
        await exchange.json({"text": "hello", "usage": usage})

    server.behaviours["/v1/audio/transcriptions"] = hear
    gateway.start()
    heard = gateway.client().audio.transcriptions.create(model="support", file=("a.wav", sound))
    assert heard.text == "hello"
    body = server.seen[0].body
    assert b"whisper-large-long-name" in body
    assert b"support" not in body
    assert sound in body
    record = gateway.record()
    assert record.tokens is not None
    assert (record.tokens.audio_in, record.tokens.output_text) == (10, 5)
    assert record.cost_nano is not None


def test_a_second_model_in_a_form_is_refused_before_the_server_has_it_whole(gateway: Gateway, server: Server) -> None:
    gateway.start()
    filling = b"x" * 600_000
    form = (
        b'--B\r\ncontent-disposition: form-data; name="model"\r\n\r\nsupport\r\n'
        b'--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + filling + b"\r\n"
        b'--B\r\ncontent-disposition: form-data; name="model"\r\n\r\ndear\r\n--B--\r\n'
    )
    answer = httpx.post(
        _url(gateway, "/v1/audio/transcriptions"),
        content=form,
        headers={**AUTH, "content-type": "multipart/form-data; boundary=B"},
    )
    assert answer.status_code == 400
    assert "two models" in answer.json()["error"]["message"]
    assert not any(seen.is_whole for seen in server.seen)


def test_a_key_with_lists_passes_only_to_what_they_name(gateway: Gateway, server: Server) -> None:
    listed, team = "sk-rondel-list", "sk-rondel-team"
    free = "sk-rondel-free"
    gateway.write(
        keys=(
            key(listed, models=("up/good-*",)),
            key(free, models=("up/good-*",), connections=("up",)),
            key(team, team_id="t", team_routes=("support",)),
        )
    )
    gateway.start()
    ask = {"input": "x", "model": "up/bad"}
    for text in (listed, team):
        auth = {"authorization": f"Bearer {text}"}
        assert httpx.post(_url(gateway, "/v1/moderations"), json=ask, headers=auth).status_code == 404
        assert httpx.get(_url(gateway, "/pass/up/files"), headers=auth).status_code == 403
        assert httpx.get(_url(gateway, "/v1/files"), headers=auth).status_code == 403
        chosen = {**auth, "x-rondel-connection": "up"}
        assert httpx.post(_url(gateway, "/v1/moderations"), json={"model": "bad"}, headers=chosen).status_code == 404
    assert not server.seen
    auth = {"authorization": f"Bearer {listed}"}
    assert httpx.post(_url(gateway, "/v1/rerank"), json={"model": "up/good-1"}, headers=auth).status_code == 200
    assert json.loads(server.seen[0].body)["model"] == "good-1"
    auth = {"authorization": f"Bearer {free}"}
    assert httpx.get(_url(gateway, "/pass/up/files"), headers=auth).status_code == 200
    assert httpx.get(_url(gateway, "/pass/up/files")).status_code == 401


def test_without_a_model_the_only_connection_is_meant_or_the_one_in_the_header(
    gateway: Gateway, server: Server
) -> None:
    gateway.write(connections=(connection(server.port), connection(server.port, name="two")))
    gateway.start()
    client = gateway.client()
    with pytest.raises(openai.BadRequestError, match="x-rondel-connection with one of two, up"):
        client.batches.list()
    server.behaviours["/v1/batches"] = lambda exchange: exchange.json({"object": "list", "data": []})
    assert client.batches.list(extra_headers={"x-rondel-connection": "two"}).data == []
    assert server.seen[0].header("x-rondel-connection") is None
    with pytest.raises(openai.NotFoundError, match="Did you mean 'two'"):
        client.batches.list(extra_headers={"x-rondel-connection": "tow"})
    record = gateway.record(3)
    assert record.error_type == "not_found"


@pytest.mark.parametrize(
    "path",
    [
        "/pass/up/chat/completions",
        "/pass/up/v1/messages",
        "/pass/up/deployments/x/embeddings",
        "/pass/up/%63hat/completions",
        "/pass/up/models/g:generateContent",
    ],
)
def test_what_is_read_in_depth_is_not_passed_by_the_guardrails(gateway: Gateway, server: Server, path: str) -> None:
    gateway.start()
    answer = httpx.post(_url(gateway, path), json={"model": "x"}, headers=AUTH)
    assert answer.status_code == 403
    assert "guardrails" in answer.json()["error"]["message"]
    assert not server.seen


def _raw(gateway: Gateway, data: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", gateway.port))
    sock.sendall(data)
    return sock


@pytest.mark.parametrize(
    "path", ["/pass/up/../admin", "/pass/up/%2e%2e/admin", "/pass/up/a/%252e%252e/b", "/pass/up//x"]
)
def test_a_path_that_climbs_is_refused(gateway: Gateway, server: Server, path: str) -> None:
    gateway.start()
    with _raw(gateway, f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n".encode()) as sock:
        assert sock.recv(65536).startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))
    assert not server.seen


def test_a_slow_server_slows_its_caller_down(gateway: Gateway, server: Server) -> None:
    """The gateway holds a bounded part of a body of 64 MB while its server does not read."""
    release_it = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await release_it.wait()
        await exchange.json({"bytes": len(await exchange.read())})

    server.behaviours["/v1/uploads"] = slow
    gateway.start()
    total = 64 * 1024 * 1024
    head = f"POST /v1/uploads HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {total}\r\n\r\n"
    with _raw(gateway, head.encode()) as sock:
        sock.settimeout(1.0)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < total:
                sent += sock.send(bytes(65536))
        assert sent < 32 * 1024 * 1024
        server.call_soon(release_it.set)
        sock.settimeout(20)
        while sent < total:
            sent += sock.send(bytes(min(65536, total - sent)))
        answer = b""
        while not answer.endswith(b"}"):
            answer += sock.recv(65536)
        assert answer.endswith(b'{"bytes": 67108864}')


def test_a_slow_caller_slows_the_server_down_and_nothing_goes_on_after_it_hangs_up(
    gateway: Gateway, server: Server
) -> None:
    written = [0]

    async def much(exchange: Exchange) -> None:
        await exchange.begin("application/octet-stream")
        while True:
            await exchange.chunk(bytes(65536))
            written[0] += 65536

    server.behaviours["/v1/files/f-1/content"] = much
    gateway.start()
    ask = f"GET /v1/files/f-1/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n"
    with _raw(gateway, ask.encode()) as sock:
        sock.recv(1000)
        time.sleep(1.0)
        stood = written[0]
        time.sleep(0.5)
        assert written[0] == stood
        assert stood < 48 * 1024 * 1024
    assert gateway.wait_for(lambda: server.hang_ups == 1)
    assert gateway.record().error_type == "caller_gone"


def test_a_get_is_asked_once_more_and_a_post_is_not(gateway: Gateway, server: Server) -> None:
    async def gone(exchange: Exchange) -> None:
        await exchange.read()
        exchange.writer.close()

    server.behaviours["/v1/files"] = gone
    gateway.start()
    assert httpx.get(_url(gateway, "/v1/files"), headers=AUTH).status_code == 502
    assert [seen.method for seen in server.seen] == ["GET", "GET"]
    answer = httpx.post(_url(gateway, "/v1/files"), json={}, headers=AUTH)
    assert answer.status_code == 502
    assert [seen.method for seen in server.seen] == ["GET", "GET", "POST"]
    assert len(gateway.record(2).attempts) == 1


def test_an_answer_that_breaks_off_breaks_off_for_the_caller_too(gateway: Gateway, server: Server) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nhalf")
        exchange.writer.close()

    server.behaviours["/v1/files/a"] = half
    gateway.start()
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(_url(gateway, "/v1/files/a"), headers=AUTH)
    record = gateway.record()
    assert (record.truncated, record.error_type, record.status) == (True, "stream_broken", 200)


def test_a_spent_budget_lets_nothing_pass_and_an_unknown_price_is_charged_nothing(
    gateway: Gateway, server: Server
) -> None:
    from_budget = key(limits=_budget(20_000_000))
    gateway.write(keys=(from_budget,))
    gateway.start()
    for _ in range(5):
        assert httpx.get(_url(gateway, "/v1/files"), headers=AUTH).status_code == 200
    record = gateway.record(5)
    assert (record.cost_nano, record.charged_nano) == (None, None)
    gateway.stop()
    gateway.write(keys=(key(limits=_budget(9_000_000)),))
    gateway.start()
    assert httpx.get(_url(gateway, "/v1/files"), headers=AUTH).status_code == 429
    assert len(server.seen) == 5


def _budget(nano: int) -> object:
    return Limits(budgets=(Allowance(Window.MONTH, nano),))


def test_a_wrong_secret_of_the_connection_is_not_the_caller_s_business(gateway: Gateway, server: Server) -> None:
    async def no(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.json({"error": {"message": "Incorrect API key provided: sk-up****eam"}}, 401)

    server.behaviours["/v1/files"] = no
    gateway.start()
    answer = httpx.get(_url(gateway, "/v1/files"), headers=AUTH)
    assert answer.status_code == 502
    assert "sk-up" not in answer.text
    assert "check its secret" in answer.text


def test_head_and_chunked_bodies_pass(gateway: Gateway, server: Server) -> None:
    gateway.start()
    assert httpx.head(_url(gateway, "/pass/up/files"), headers=AUTH).status_code == 200

    made = httpx.put(_url(gateway, "/pass/up/blob"), content=iter([b"one", b"two"]), headers=AUTH)
    assert made.json() == {"method": "PUT", "target": "/v1/blob", "bytes": 6}
    assert server.seen[1].body == b"onetwo"


def test_health_says_what_stands_ill(gateway: Gateway, server: Server) -> None:
    gateway.start()
    assert httpx.get(_url(gateway, "/healthz")).json()["status"] == "ok"
    gateway.stop()
    gateway.write(connections=(connection(server.port, secret="env:MISSING_API_KEY"),))
    gateway.start()
    told = httpx.get(_url(gateway, "/healthz"))
    assert (told.status_code, told.json()["status"], told.json()["snapshot_problems"]) == (200, "degraded", 1)
    assert httpx.get(_url(gateway, "/readyz")).status_code == 200


def test_a_websocket_is_refused_in_words(gateway: Gateway, server: Server) -> None:
    gateway.start()
    for path in ("/v1/realtime?model=support", "/pass/up/realtime"):
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: Upgrade\r\n"
        more = "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        with _raw(gateway, (head + more).encode()) as sock:
            assert sock.recv(65536).startswith(b"HTTP/1.1 501")
    assert not server.seen


def test_an_answer_before_the_end_of_the_body_reaches_a_caller_who_was_held_up(
    gateway: Gateway, server: Server
) -> None:
    async def enough(exchange: Exchange) -> None:
        await asyncio.sleep(1.0)
        await exchange.json({"error": {"message": "too large"}}, 413)

    server.behaviours["/v1/uploads"] = enough
    gateway.start()
    total = 64 * 1024 * 1024
    head = f"POST /v1/uploads HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {total}\r\n\r\n"
    with _raw(gateway, head.encode()) as sock:
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                sock.send(bytes(65536))
        sock.settimeout(5)
        assert sock.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_signed_provider_gets_the_whole_body_with_its_signature(gateway: Gateway, server: Server) -> None:
    gateway.environ["UP_API_KEY"] = "AKID:SECRET"
    gateway.write(connections=(connection(server.port, provider="bedrock", secret="env:UP_API_KEY"),))
    gateway.start()
    body = b'{"prompt":"x"}'
    answer = httpx.post(
        _url(gateway, "/pass/up/model/amazon.titan/apply"),
        content=iter([body[:5], body[5:]]),
        headers={**AUTH, "content-type": "application/json", "x-amz-security-token": "theirs"},
    )
    assert answer.status_code == 200
    seen = server.seen[0]
    assert (seen.header("authorization") or "").startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert (seen.body, seen.header("content-length")) == (body, "14")
    assert seen.header("x-amz-security-token") is None
    assert httpx.get(_url(gateway, "/pass/up/async-invoke"), headers=AUTH).status_code == 400
