"""`gcp:PROJECT/NAME[/VERSION][#FIELD]`: Google Secret Manager; and `gcp-token:`: access tokens, for Vertex AI.

Who asks is what Google's own chain finds (Application Default Credentials): GOOGLE_APPLICATION_CREDENTIALS, gcloud's
file, workload identity, the metadata server. A token may also be made of a service account's JSON that is a secret of
its own: `gcp-token:store:vertex`.
Source: https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access and
https://google-auth.readthedocs.io/en/stable/reference/google.oauth2.service_account.html
"""

import base64
import binascii
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import google.auth
import msgspec
import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2.service_account import Credentials as ServiceAccount

from rondel.clock import to_ns
from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Reference, Secret
from rondel.gateway.secrets.ports import Means
from rondel.gateway.secrets.rules import field_of, written

_NAME = re.compile(r"[a-z0-9:.-]+/[A-Za-z0-9_-]+(?:/(?:[0-9]+|latest|[A-Za-z][A-Za-z0-9_-]*))?")
_API = "https://secretmanager.googleapis.com/v1"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_TIMEOUT_S = 5


class _Payload(msgspec.Struct):
    data: str


class _Version(msgspec.Struct):
    payload: _Payload


@dataclass(frozen=True)
class SecretManager:
    """A version of a secret, by default the latest."""

    renewed_every_s: float | None = 300.0
    _sessions: dict[str, AuthorizedSession] = field(
        default_factory=dict[str, AuthorizedSession], repr=False, compare=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def check(self, name: str, field: str) -> None:  # noqa: ARG002  any field may be one
        """A project, a name, perhaps a version."""
        if not _NAME.fullmatch(name):
            raise Invalid("A secret gcp:PROJECT/NAME[/VERSION] takes a project of Google Cloud and a secret in it.")

    def read(self, asked: Asked, means: Means) -> Secret:  # noqa: ARG002  the library finds its means itself
        """Its text."""
        told = written(asked.reference)
        project, name, *version = asked.reference.name.split("/")
        path = f"projects/{project}/secrets/{name}/versions/{version[0] if version else 'latest'}"
        try:
            answer = self._session().get(f"{_API}/{path}:access", timeout=_TIMEOUT_S)
        except (GoogleAuthError, requests.RequestException) as error:
            raise Unavailable(f"Google cannot be asked for {told!r}: {type(error).__name__}.") from error
        if answer.status_code != 200:
            raise Unavailable(f"Google Secret Manager answers {answer.status_code} for {told!r}.")
        try:
            text = base64.b64decode(msgspec.json.decode(answer.content, type=_Version).payload.data).decode()
        except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError) as error:
            raise Unavailable(f"Google Secret Manager tells no text for {told!r}.") from error
        return Secret(field_of(text, asked.reference))

    def _session(self) -> AuthorizedSession:
        with self._lock:
            if "google" not in self._sessions:
                self._sessions["google"] = AuthorizedSession(_default())
            return self._sessions["google"]


@dataclass(frozen=True)
class Token:
    """Access tokens of an hour, renewed before they end."""

    renewed_every_s: float | None = None

    def check(self, name: str, field: str) -> None:
        """`default`, or another reference."""
        if field or not (name == "default" or re.fullmatch(r"(?!gcp-token)[a-z][a-z0-9-]*:.+", name)):
            raise Invalid(
                "A secret gcp-token:default is a token of this machine's own identity, and gcp-token:KIND:NAME one of "
                "the service account whose JSON that secret is."
            )

    def read(self, asked: Asked, means: Means) -> Secret:
        """A fresh token."""
        told = written(asked.reference)
        credentials = self._credentials(asked, means)
        try:
            credentials.refresh(partial(Request(), timeout=_TIMEOUT_S))
        except GoogleAuthError as error:
            raise Unavailable(f"Google gives no token for {told!r}: {type(error).__name__}.") from error
        ends: datetime | None = credentials.expiry  # without a zone, in UTC
        return Secret(str(credentials.token), to_ns(ends.replace(tzinfo=UTC)) if ends is not None else None)

    def _credentials(self, asked: Asked, means: Means) -> Credentials:
        kind, _, name = asked.reference.name.partition(":")
        if not name:
            return _default()
        text = means.read(asked._replace(reference=Reference(kind, name))).text
        try:
            return ServiceAccount.from_service_account_info(msgspec.json.decode(text), scopes=_SCOPES)
        except (msgspec.DecodeError, ValueError, GoogleAuthError, AttributeError, TypeError) as error:
            told = f"its secret {kind}:{name} is not the JSON key of a service account of Google."
            raise Unavailable(told) from error


def _default() -> Credentials:
    try:
        credentials, _ = google.auth.default(scopes=_SCOPES)
    except GoogleAuthError as error:
        raise Unavailable("Google's own chain finds no credentials on this machine.") from error
    return credentials
