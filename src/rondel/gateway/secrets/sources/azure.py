"""`azure:VAULT/NAME[/VERSION][#FIELD]`: Azure Key Vault; and `azure-token:`: Entra ID tokens, for Azure OpenAI.

Who asks is what Azure's own chain finds (`DefaultAzureCredential`): AZURE_TENANT_ID, AZURE_CLIENT_ID and
AZURE_CLIENT_SECRET, workload identity, managed identity, the Azure CLI. A token may also be made of a secret of its
own, `azure-token:store:entra`: a JSON object with tenant_id, client_id and client_secret.
Source: https://learn.microsoft.com/python/api/overview/azure/keyvault-secrets-readme and
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/managed-identity
"""

import logging
import re
import threading
from dataclasses import dataclass, field

import msgspec
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.identity import ClientSecretCredential, DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Reference, Secret
from rondel.gateway.secrets.ports import Means
from rondel.gateway.secrets.rules import field_of, written

_CLOUDS = (".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net")
"""The endings of a vault's host in Azure's clouds; a name alone is one of the first."""
_NAME = re.compile(r"[A-Za-z0-9.-]+/[A-Za-z0-9-]+(?:/[0-9a-f]{32})?")
_SCOPE = "https://cognitiveservices.azure.com/.default"
_SECOND_NS = 1_000_000_000

logging.getLogger("azure.identity").setLevel(logging.CRITICAL)  # what it warns of is raised too, and told in a sentence


@dataclass(frozen=True)
class KeyVault:
    """A version of a secret, by default the newest."""

    renewed_every_s: float | None = 300.0
    _clients: dict[str, SecretClient] = field(default_factory=dict[str, SecretClient], repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def check(self, name: str, field: str) -> None:  # noqa: ARG002  any field may be one
        """A vault and a name."""
        host = name.partition("/")[0]
        if not _NAME.fullmatch(name) or ("." in host and not host.endswith(_CLOUDS)):
            raise Invalid("A secret azure:VAULT/NAME[/VERSION] takes the name of a key vault and of a secret in it.")

    def read(self, asked: Asked, means: Means) -> Secret:  # noqa: ARG002  the library finds its means itself
        """Its text."""
        told = written(asked.reference)
        vault, name, *version = asked.reference.name.split("/")
        try:
            value = self._client(vault).get_secret(name, version[0] if version else None).value
        except AzureError as error:
            if isinstance(error, HttpResponseError) and error.status_code is not None:
                raise Unavailable(f"Azure Key Vault answers {error.status_code} for {told!r}.") from error
            raise Unavailable(f"Azure cannot be asked for {told!r}: {type(error).__name__}.") from error
        return Secret(field_of(value or "", asked.reference))

    def _client(self, vault: str) -> SecretClient:
        host = vault if "." in vault else f"{vault}{_CLOUDS[0]}"
        with self._lock:
            if host not in self._clients:
                self._clients[host] = SecretClient(
                    f"https://{host}",
                    DefaultAzureCredential(),
                    connection_timeout=3,
                    read_timeout=5,
                    retry_total=1,
                )
            return self._clients[host]


class _Account(msgspec.Struct):
    tenant_id: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class Token:
    """Tokens for `#SCOPE`, by default that of Azure OpenAI; renewed before they end."""

    renewed_every_s: float | None = None

    def check(self, name: str, field: str) -> None:
        """`default`, or another reference."""
        is_name = name == "default" or re.fullmatch(r"(?!azure-token)[a-z][a-z0-9-]*:.+", name)
        if not is_name or (field and not field.startswith("https://")):
            raise Invalid(
                "A secret azure-token:default[#SCOPE] is a token of this machine's own identity, azure-token:KIND:NAME "
                "one of the application whose tenant_id, client_id and client_secret are that secret's JSON."
            )

    def read(self, asked: Asked, means: Means) -> Secret:
        """A fresh token."""
        told = written(asked.reference)
        try:
            token = self._credential(asked, means).get_token(asked.reference.field or _SCOPE)
        except (AzureError, ValueError) as error:
            raise Unavailable(f"Entra ID gives no token for {told!r}: {type(error).__name__}.") from error
        return Secret(token.token, token.expires_on * _SECOND_NS)

    def _credential(self, asked: Asked, means: Means) -> TokenCredential:
        kind, _, name = asked.reference.name.partition(":")
        if not name:
            return DefaultAzureCredential()
        text = means.read(asked._replace(reference=Reference(kind, name))).text
        try:
            account = msgspec.json.decode(text, type=_Account)
        except msgspec.DecodeError as error:
            told = f"its secret {kind}:{name} is no JSON object with tenant_id, client_id and client_secret."
            raise Unavailable(told) from error
        return ClientSecretCredential(account.tenant_id, account.client_id, account.client_secret)
