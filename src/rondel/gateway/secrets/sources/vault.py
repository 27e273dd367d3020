"""`vault:MOUNT/PATH#FIELD`: HashiCorp Vault (or OpenBao), key/value engine version 2.

Where it is and how one signs in are the variables of Vault's own tools: VAULT_ADDR, VAULT_TOKEN (or the token file),
VAULT_NAMESPACE, VAULT_CACERT; with VAULT_ROLE_ID and VAULT_SECRET_ID it is by AppRole, again whenever the token ends.
Source: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version and
https://developer.hashicorp.com/vault/docs/commands#environment-variables
"""

import re
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, VaultError

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.ports import Means
from rondel.gateway.secrets.rules import only_field, written

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_TIMEOUT_S = 5


@dataclass(frozen=True)
class Vault:
    """One signed-in client a process."""

    renewed_every_s: float | None = 60.0
    _clients: dict[str, hvac.Client] = field(default_factory=dict[str, hvac.Client], repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def check(self, name: str, field: str) -> None:  # noqa: ARG002  any field may be one
        """A mount and a path."""
        if not _NAME.fullmatch(name):
            raise Invalid("A secret vault:MOUNT/PATH#FIELD takes the mount of a key/value engine and a path in it.")

    def read(self, asked: Asked, means: Means) -> Secret:
        """The newest version."""
        told = written(asked.reference)
        try:
            return Secret(only_field(self._read(asked, means), asked))
        except InvalidPath as error:
            raise Unavailable(f"Vault has no secret {told!r}, or its newest version is deleted.") from error
        except Forbidden as error:
            raise Unavailable(f"Vault does not let us read {told!r}: look at the policy of its token.") from error
        except VaultError as error:
            raise Unavailable(f"Vault cannot read {told!r}: {type(error).__name__}.") from error
        except requests.RequestException as error:
            raise Unavailable(f"Vault does not answer ({type(error).__name__}), so {told!r} cannot be read.") from error

    def _read(self, asked: Asked, means: Means) -> dict[str, object]:
        mount, _, path = asked.reference.name.partition("/")
        client = self._client(means)
        try:
            answer = client.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
        except Forbidden:
            if not means.environ.get("VAULT_ROLE_ID"):
                raise
            client = self._client(means, again=client)
            answer = client.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
        return answer["data"]["data"]

    def _client(self, means: Means, *, again: hvac.Client | None = None) -> hvac.Client:
        """The client that is signed in; a new one in the place of `again`, whose token is no longer good."""
        environ = means.environ
        address = environ.get("VAULT_ADDR", "")
        if urlsplit(address).scheme not in {"http", "https"}:
            raise Unavailable("VAULT_ADDR does not say where Vault is, such as https://vault.example:8200.")
        with self._lock:
            known = self._clients.get("vault")
            if known is not None and known is not again:
                return known
            client = hvac.Client(
                url=address,
                token=environ.get("VAULT_TOKEN") or None,
                namespace=environ.get("VAULT_NAMESPACE") or None,
                verify=environ.get("VAULT_CACERT") or True,
                timeout=_TIMEOUT_S,
            )
            if role := environ.get("VAULT_ROLE_ID"):
                client.auth.approle.login(role, environ.get("VAULT_SECRET_ID"))
            self._clients["vault"] = client
            return client
