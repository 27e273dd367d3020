"""Where Bedrock stands, and how requests to it are signed."""

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Unavailable
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call
from rondel.gateway.providers.bedrock import Bedrock

PROVIDER = Bedrock(region="eu-central-1")


def test_it_stands_in_its_region_unless_it_is_told() -> None:
    assert PROVIDER.base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    assert Bedrock(base_url="https://vpce.test").base_url == "https://vpce.test"


def test_a_secret_without_a_colon_is_a_bearer() -> None:
    assert PROVIDER.headers("ABSKQmVk") == (("authorization", "Bearer ABSKQmVk"),)
    assert PROVIDER.signature("/", "h", b"", "ABSKQmVk", 0.0) == ()
    assert PROVIDER.headers("AKIA:secret") == ()


@pytest.mark.parametrize("secret", [":", "AKIA:", ":secret", "a:b:", "a:b:c:d"])
def test_a_secret_that_is_none_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(Unavailable, match="ACCESS_KEY:SECRET"):
        PROVIDER.signature("/", "h", b"", secret, 0.0)


_SIGNS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)


@given(
    model=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name.strip(".")),
    is_stream=st.booleans(),
    query=st.lists(st.tuples(_SIGNS, _SIGNS), max_size=3),
    host=st.sampled_from(["bedrock-runtime.eu-central-1.amazonaws.com", "127.0.0.1:8080"]),
    body=st.binary(max_size=50),
    keys=st.tuples(_SIGNS, st.text("abcXYZ019+/=", min_size=1, max_size=40)),
    token=st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=40),
    at_s=st.integers(0, 4_000_000_000),
)
def test_requests_are_signed_as_botocore_signs_them(
    model: str,
    is_stream: bool,
    query: list[tuple[str, str]],
    host: str,
    body: bytes,
    keys: tuple[str, str],
    token: str | None,
    at_s: int,
) -> None:
    target = PROVIDER.path(Call(Operation.CHAT, model, {}, is_stream=is_stream))
    if query:
        target += "?" + "&".join("=".join(pair) for pair in query)
    secret = ":".join((*keys, token) if token else keys)
    ours = dict(PROVIDER.signature(target, host, body, secret, float(at_s)))
    request = AWSRequest(method="POST", url=f"https://{host}{target}", headers={"host": host}, data=body)
    request.context["timestamp"] = ours["x-amz-date"]
    signer = SigV4Auth(Credentials(*keys, token), "bedrock", "eu-central-1")
    signer._modify_request_before_signing(request)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    signer._inject_signature_to_request(request, signature)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours.get("x-amz-security-token") == token
