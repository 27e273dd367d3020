"""`aws:NAME_OR_ARN[#FIELD]`: AWS Secrets Manager; and `aws-credentials:PROFILE`: what AWS lets this machine sign with.

Region and identity are what AWS's own chain finds: its variables, shared files, web identity, the role of a container
or an instance.
Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html and
https://docs.aws.amazon.com/boto3/latest/guide/credentials.html
"""

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from rondel.clock import to_ns
from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.ports import Means
from rondel.gateway.secrets.rules import field_of, written

_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]+|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+")
_PROFILE = re.compile(r"[A-Za-z0-9_.@-]+")
_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})


@dataclass(frozen=True)
class SecretsManager:
    """The current version of a secret; one client a region."""

    renewed_every_s: float | None = 300.0
    _clients: dict[str, BaseClient] = field(default_factory=dict[str, BaseClient], repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def check(self, name: str, field: str) -> None:  # noqa: ARG002  any field may be one
        """A name or an ARN."""
        if not _NAME.fullmatch(name):
            raise Invalid("A secret aws:NAME takes the name or the ARN of a secret in AWS Secrets Manager.")

    def read(self, asked: Asked, means: Means) -> Secret:  # noqa: ARG002  the SDK finds its means itself
        """Its text, or its bytes as UTF-8."""
        name = asked.reference.name
        region = name.split(":")[3] if name.startswith("arn:") else ""
        try:
            told = self._client(region).get_secret_value(SecretId=name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            raise Unavailable(f"AWS Secrets Manager answers {code} for {written(asked.reference)!r}.") from error
        except BotoCoreError as error:
            problem = type(error).__name__
            raise Unavailable(f"AWS cannot be asked for {written(asked.reference)!r}: {problem}.") from error
        text = told.get("SecretString") or told.get("SecretBinary", b"").decode("utf-8", "replace")
        return Secret(field_of(text, asked.reference))

    def _client(self, region: str) -> BaseClient:
        with self._lock:
            if region not in self._clients:
                session = boto3.session.Session()  # the default session is not for threads
                self._clients[region] = session.client("secretsmanager", region_name=region or None, config=_CONFIG)
            return self._clients[region]


@dataclass(frozen=True)
class Credentials:
    """`ACCESS_KEY:SECRET[:SESSION_TOKEN]`, as a provider that signs its requests takes it; those of a role are renewed
    before they expire."""

    renewed_every_s: float | None = 60.0
    _sessions: dict[str, boto3.session.Session] = field(
        default_factory=dict[str, boto3.session.Session], repr=False, compare=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def check(self, name: str, field: str) -> None:
        """A profile's name."""
        if not _PROFILE.fullmatch(name) or field:
            raise Invalid("A secret aws-credentials:PROFILE takes 'default' or a profile of the shared AWS files.")

    def read(self, asked: Asked, means: Means) -> Secret:  # noqa: ARG002  the SDK finds its means itself
        """What signs now; of a role with its end."""
        name = asked.reference.name
        try:
            found = self._session(name).get_credentials()
            frozen = found.get_frozen_credentials() if found is not None else None
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"AWS gives no credentials for profile {name!r}: {type(error).__name__}.") from error
        if found is None or frozen is None:
            raise Unavailable(f"AWS's own chain finds no credentials for profile {name!r} on this machine.")
        ends: datetime | None = getattr(found, "_expiry_time", None)  # botocore keeps it where it alone looks
        text = ":".join(filter(None, (frozen.access_key, frozen.secret_key, frozen.token)))
        return Secret(text, to_ns(ends) if ends is not None else None)

    def _session(self, name: str) -> boto3.session.Session:
        with self._lock:
            if name not in self._sessions:
                profile = None if name == "default" else name
                self._sessions[name] = boto3.session.Session(profile_name=profile)
            return self._sessions[name]
