"""Alerts as an HTTP POST to an address of the user's."""

import hashlib
import hmac
import ipaddress
import json
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from rondel.errors import Forbidden, Invalid, UpstreamFailed
from rondel.monitoring.models import Message

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Webhook:
    """POSTs JSON with `text` (as Slack and Mattermost read it) and the fields of the alert.

    The name is resolved once and that very address is called, so a name cannot point inside on the second look.
    Addresses that are not public are refused unless `allow_private`; redirects are not followed. With a `secret`, the
    header `x-rondel-signature` is `sha256=` and the HMAC-SHA256 of the body.
    """

    url: str
    secret: str = ""
    allow_private: bool = False

    def send(self, message: Message) -> None:
        """POST it.

        Raises:
            Invalid: the URL is none.
            Forbidden: it points to an address that is not public.
            UpstreamFailed: no answer, or one that is not 2xx.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Invalid("The webhook's 'url' must begin with http:// or https:// and name a host.")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = resolve(parts.hostname, port, allow_private=self.allow_private)
        body = json.dumps(
            {
                "text": f"{message.title}: {message.sentence}",
                "monitor": message.monitor,
                "route": message.route,
                "release_id": message.release_id,
                "firing": message.is_firing,
                "sentence": message.sentence,
                "at": message.at.isoformat(),
                "url": message.url,
            }
        ).encode()
        headers = {"content-type": "application/json", "user-agent": "rondel", "host": parts.netloc.rpartition("@")[2]}
        if self.secret:
            headers["x-rondel-signature"] = "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            with closing(_connection(parts.scheme, parts.hostname, address, port)) as connection:
                connection.request("POST", path, body, headers)
                status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            raise UpstreamFailed(f"The webhook at {parts.hostname!r} did not answer: {error}") from error
        if not 200 <= status < 300:
            raise UpstreamFailed(f"The webhook at {parts.hostname!r} answered {status}.")


def resolve(host: str, port: int, *, allow_private: bool) -> str:
    """The first address of `host`, if all of its addresses may be called.

    Raises:
        Forbidden: one of them is not public.
        UpstreamFailed: it has none.
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise UpstreamFailed(f"The webhook's host {host!r} has no address: {error}") from error
    for address in found:
        if not allow_private and not _is_public(address):
            raise Forbidden(f"The webhook's host {host!r} is at {address}, which is not public: set 'allow_private'.")
    return found[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_global and not ip.is_multicast


def _connection(scheme: str, host: str, address: str, port: int) -> HTTPConnection:
    if scheme == "http":
        return HTTPConnection(address, port, timeout=TIMEOUT_S)
    connection = HTTPSConnection(host, port, timeout=TIMEOUT_S)
    # The certificate is checked for the name, the socket goes to the address that was checked.
    raw = socket.create_connection((address, port), timeout=TIMEOUT_S)
    connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    return connection
