"""AWS's signature of a request, version 4.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from rondel.errors import Unavailable

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """An access key; `token` is empty unless it is a session's."""

    access_key: str
    secret_key: str
    token: str = ""


def parse_credentials(secret: str) -> Credentials:
    """`ACCESS_KEY:SECRET` or `ACCESS_KEY:SECRET:SESSION_TOKEN`.

    Raises:
        Unavailable: it is neither.
    """
    parts = secret.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise Unavailable("An AWS secret has to be written ACCESS_KEY:SECRET or ACCESS_KEY:SECRET:SESSION_TOKEN.")
    return Credentials(*parts)


def sign(
    credentials: Credentials, service: str, region: str, *, target: str, host: str, body: bytes, at_s: float
) -> tuple[tuple[str, str], ...]:
    """The headers that sign a POST of `body` to `target`, as it goes over the wire, `at_s` seconds since the epoch.

    The path is encoded once more over its own encoding, as for every service but S3.
    """
    time = datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    path, _, query = target.partition("?")
    headers = {"host": host, "x-amz-date": time}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(headers)
    canonical = "\n".join(
        (
            "POST",
            quote(path, safe="/~"),
            "&".join("=".join(pair) for pair in sorted(_pair(part) for part in query.split("&"))) if query else "",
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, to_sign).hex()
    told = f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return (*((name, value) for name, value in headers.items() if name != "host"), ("authorization", told))


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, value


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
