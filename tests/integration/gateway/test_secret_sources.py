"""The stores of others, asked by their real client libraries; what comes back is what their documentation shows.

No Vault, AWS, Google or Azure is asked: the libraries' own requests are answered here.
"""

import base64
import json
import os
from collections.abc import Generator, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rondel.clock import SystemClock, to_ns
from rondel.errors import Unavailable
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.ports import SECRETS
from rondel.gateway.secrets.reading import Reading
from rondel.gateway.secrets.rules import parse_reference
from tests.integration.gateway.internet import Answer, Internet, Request

KINDS = [kind.name for kind in SECRETS.list()]
NAMES = (
    "secretmanager.googleapis.com",
    "oauth2.googleapis.com",
    "secretsmanager.eu-west-1.amazonaws.com",
    "secretsmanager.us-east-2.amazonaws.com",
    "login.microsoftonline.com",
    "acme.vault.azure.net",
)
HOUR_S = 3599


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Internet]:
    """The hosts of AWS, Google and Azure; this machine itself is nobody there."""
    made = Internet(tmp_path / "tls", NAMES)
    made.start()
    for name in [*os.environ]:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "VAULT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", made.url)
    for name in ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(made.authority))
    yield made
    made.stop()


@pytest.fixture
def vault(tmp_path: Path) -> Generator[Internet]:
    """A Vault that holds `kv/teams/openai`."""
    made = Internet(tmp_path, answer=Kept({"kv/teams/openai": {"api_key": "sk-in-vault"}}))
    made.start()
    yield made
    made.stop()


class Kept:
    """Vault's key/value engine, version 2, as its API documentation shows it.

    Source: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version and
    https://developer.hashicorp.com/vault/api-docs/auth/approle#login-with-approle
    """

    def __init__(self, secrets: dict[str, Mapping[str, object]], token: str = "hvs.right") -> None:
        self.secrets, self.token, self.logins = secrets, token, 0
        self.deleted: set[str] = set()

    def __call__(self, request: Request) -> Answer:
        """Sign in, or read."""
        if request.path == "/v1/auth/approle/login":
            self.logins += 1
            if request.json != {"role_id": "role", "secret_id": "secret"}:
                return Answer({"errors": ["invalid role or secret ID"]}, 400)
            auth = {"renewable": True, "lease_duration": 1200, "token_policies": ["default"], "accessor": "a"}
            return Answer({"auth": {**auth, "client_token": self.token}})
        if request.headers.get("x-vault-token") != self.token:
            return Answer({"errors": ["permission denied"]}, 403)
        mount, _, path = request.path.removeprefix("/v1/").partition("/data/")
        name = f"{mount}/{path}"
        version = {"created_time": "2026-03-22T02:24:06.945319214Z", "custom_metadata": None, "destroyed": False}
        if name in self.deleted:
            gone = {"data": None, "metadata": {**version, "deletion_time": "2026-03-23T02:24:06Z", "version": 2}}
            return Answer({"data": gone, "lease_id": "", "auth": None}, 404)
        if name not in self.secrets:
            return Answer({"errors": []}, 404)
        found = {"data": self.secrets[name], "metadata": {**version, "deletion_time": "", "version": 2}}
        return Answer({"request_id": "r", "lease_id": "", "lease_duration": 0, "data": found, "auth": None})


def _reading(environ: Mapping[str, str] | None = None, folder: Path = Path("nowhere")) -> Reading:
    return Reading(
        environ=os.environ if environ is None else environ, folder=folder, keys=tuple, now_ns=SystemClock().now_ns
    )


def _read(text: str, reading: Reading | None = None) -> Secret:
    reference = parse_reference(text, KINDS)
    return (reading or _reading()).read(Asked(reference, "prj", "test", "https://up.example:443"), {})


def _why(text: str, reading: Reading | None = None) -> str:
    with pytest.raises(Unavailable) as refused:
        _read(text, reading)
    return refused.value.message


# HashiCorp Vault


def _vault(vault: Internet, **more: str) -> Reading:
    return _reading({"VAULT_ADDR": vault.url, **more})


def test_a_secret_of_vault_is_read_by_token(vault: Internet) -> None:
    reading = _vault(vault, VAULT_TOKEN="hvs.right", VAULT_NAMESPACE="team-a")
    assert _read("vault:kv/teams/openai#api_key", reading) == Secret("sk-in-vault")
    assert _read("vault:kv/teams/openai", reading) == Secret("sk-in-vault")
    assert {request.headers["x-vault-namespace"] for request in vault.seen} == {"team-a"}


def test_a_new_version_in_vault_is_read_the_next_time(vault: Internet) -> None:
    reading = _vault(vault, VAULT_TOKEN="hvs.right")
    _read("vault:kv/teams/openai#api_key", reading)
    vault.answer = Kept({"kv/teams/openai": {"api_key": "sk-new"}})
    assert _read("vault:kv/teams/openai#api_key", reading) == Secret("sk-new")


def test_what_vault_does_not_give_is_one_sentence(vault: Internet) -> None:
    reading = _vault(vault, VAULT_TOKEN="hvs.right")
    assert _why("vault:kv/teams/other", reading).startswith("Vault has no secret 'vault:kv/teams/other'")
    assert "no text in the field 'key'" in _why("vault:kv/teams/openai#key", reading)
    kept = Kept({"kv/teams/openai": {"a": "sk-in-vault", "b": "sk-in-vault"}})
    vault.answer = kept
    assert _why("vault:kv/teams/openai", reading).endswith(
        "has 2 fields: write which one, as vault:kv/teams/openai#FIELD."
    )
    kept.deleted.add("kv/teams/openai")
    assert "newest version is deleted" in _why("vault:kv/teams/openai", reading)
    vault.answer = lambda _: Answer({"errors": ["Vault is sealed"]}, 503)
    assert "VaultDown" in _why("vault:kv/teams/openai", reading)
    vault.answer = kept
    wrong = _why("vault:kv/teams/openai", _vault(vault, VAULT_TOKEN="hvs.wrong"))
    assert "look at the policy of its token" in wrong
    assert "hvs" not in wrong


def test_a_role_signs_in_and_does_so_again_when_its_token_has_ended(vault: Internet) -> None:
    reading = _vault(vault, VAULT_ROLE_ID="role", VAULT_SECRET_ID="secret")
    kept = Kept({"kv/teams/openai": {"api_key": "sk-in-vault"}})
    vault.answer = kept
    assert _read("vault:kv/teams/openai", reading).text == "sk-in-vault"
    assert _read("vault:kv/teams/openai", reading).text == "sk-in-vault"
    assert kept.logins == 1
    kept.token = "hvs.next"
    assert _read("vault:kv/teams/openai", reading).text == "sk-in-vault"
    assert kept.logins == 2
    assert "policy of its token" in _why("vault:kv/teams/openai", _vault(vault, VAULT_TOKEN="hvs.right"))


def test_a_vault_that_is_not_there_is_told(vault: Internet) -> None:
    assert "VAULT_ADDR does not say" in _why("vault:kv/a", _reading({}))
    vault.stop()
    assert _why("vault:kv/a", _vault(vault, VAULT_TOKEN="t")).startswith("Vault does not answer (ConnectionError)")
    vault.port = 0
    vault.start()


# AWS


def _secrets_manager(request: Request) -> Answer:
    """Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html"""
    if request.headers.get("x-amz-target") != "secretsmanager.GetSecretValue":
        return Answer({"__type": "InvalidRequestException", "Message": "?"}, 400)
    told = {"ARN": "arn:…", "CreatedDate": 1.523477145713e9, "VersionId": "v", "VersionStages": ["AWSCURRENT"]}
    match request.json["SecretId"].rpartition(":")[2]:
        case "teams/openai" | "openai-AbCdEf":
            return Answer({**told, "Name": "n", "SecretString": "sk-in-aws"})
        case "as-json":
            return Answer({**told, "Name": "n", "SecretString": '{"username":"u","password":"sk-in-aws"}'})
        case "as-bytes":
            return Answer({**told, "Name": "n", "SecretBinary": base64.b64encode(b"sk-in-aws").decode()})
        case "not-ours":
            return Answer({"__type": "AccessDeniedException", "Message": "User: arn:… is not authorized"}, 400)
        case _:
            problem = "Secrets Manager can't find the specified secret."
            return Answer({"__type": "ResourceNotFoundException", "Message": problem}, 400)


@pytest.fixture
def aws(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Internet:
    """AWS Secrets Manager, and an identity of this machine."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    internet.answer = _secrets_manager
    return internet


def test_a_secret_of_aws_is_read_by_name_arn_and_field(aws: Internet) -> None:
    reading = _reading()
    assert _read("aws:teams/openai", reading) == Secret("sk-in-aws")
    assert _read("aws:as-json#password", reading) == Secret("sk-in-aws")
    assert _read("aws:as-bytes", reading) == Secret("sk-in-aws")
    arn = "arn:aws:secretsmanager:us-east-2:123456789012:secret:openai-AbCdEf"
    assert _read(f"aws:{arn}", reading) == Secret("sk-in-aws")
    assert aws.seen[-1].host == "secretsmanager.us-east-2.amazonaws.com"
    assert {request.host for request in aws.seen[:3]} == {"secretsmanager.eu-west-1.amazonaws.com"}
    assert all(request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Cred") for request in aws.seen)


@pytest.mark.usefixtures("aws")
def test_what_aws_does_not_give_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _why("aws:other") == "AWS Secrets Manager answers ResourceNotFoundException for 'aws:other'."
    assert _why("aws:not-ours") == "AWS Secrets Manager answers AccessDeniedException for 'aws:not-ours'."
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert _why("aws:teams/openai") == "AWS cannot be asked for 'aws:teams/openai': NoRegionError."
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert "ProxyConnectionError" in _why("aws:teams/openai")


def test_credentials_of_aws_are_what_this_machine_signs_with(aws: Internet, tmp_path: Path) -> None:
    assert _read("aws-credentials:default") == Secret("AKIDEXAMPLE:wJalrXUtnFEMI")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[team]\naws_access_key_id = AKIDTEAM\naws_secret_access_key = s\n")
    assert _read("aws-credentials:team") == Secret("AKIDTEAM:s")
    assert "ProfileNotFound" in _why("aws-credentials:nobody")
    assert aws.seen == []


def test_credentials_of_a_role_tell_their_end(aws: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html"""
    ends = SystemClock().now().replace(microsecond=0) + timedelta(hours=6)
    role = {
        "AccessKeyId": "ASIAROLE",
        "SecretAccessKey": "s",
        "Token": "session",
        "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
    }
    aws.answer = lambda _: Answer(role)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/role")
    assert _read("aws-credentials:default") == Secret("ASIAROLE:s:session", to_ns(ends))


# Google


@pytest.fixture
def google(internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Internet:
    """Google Secret Manager, and a service account of this machine."""
    account = tmp_path / "account.json"
    account.write_text(json.dumps(_account("this-machine")))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    internet.answer = _google
    return internet


def _account(name: str) -> dict[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": f"{name}@acme.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def _google(request: Request) -> Answer:
    """Source: https://developers.google.com/identity/protocols/oauth2/service-account#httprest and
    https://cloud.google.com/secret-manager/docs/reference/rest/v1/AccessSecretVersionResponse"""
    if request.host == "oauth2.googleapis.com":
        assertion = request.body.decode().partition("assertion=")[2].partition("&")[0]
        claims = json.loads(base64.urlsafe_b64decode(assertion.split(".")[1] + "=="))
        token = f"ya29.{claims['iss'].partition('@')[0]}"
        return Answer({"access_token": token, "expires_in": HOUR_S, "token_type": "Bearer"})
    if request.headers.get("authorization") != "Bearer ya29.this-machine":
        return Answer({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, 401)
    if not request.path.startswith("/v1/projects/acme/secrets/openai/versions/"):
        return Answer({"error": {"code": 404, "status": "NOT_FOUND"}}, 404)
    version = request.path.partition("/versions/")[2].removesuffix(":access")
    text = f'{{"key":"sk-in-google-{version}"}}'.encode()
    payload = {"data": base64.b64encode(text).decode(), "dataCrc32c": "1"}
    return Answer({"name": "projects/1/secrets/openai/versions/7", "payload": payload})


def test_a_secret_of_google_is_read_by_project_name_and_version(google: Internet) -> None:
    reading = _reading()
    assert _read("gcp:acme/openai#key", reading) == Secret("sk-in-google-latest")
    assert _read("gcp:acme/openai/3#key", reading) == Secret("sk-in-google-3")
    assert [request.host for request in google.seen].count("oauth2.googleapis.com") == 1
    assert _why("gcp:acme/other", reading) == "Google Secret Manager answers 404 for 'gcp:acme/other'."


def test_a_token_of_google_is_made_for_an_hour(google: Internet) -> None:
    before = SystemClock().now_ns()
    secret = _read("gcp-token:default")
    assert secret.text == "ya29.this-machine"
    assert secret.expires_ns is not None
    assert 3500 < (secret.expires_ns - before) / 1e9 < 3700
    _read("gcp-token:default")
    assert len(google.seen) == 2


@pytest.mark.usefixtures("google")
def test_a_token_of_google_is_made_of_a_service_account_that_is_a_secret(tmp_path: Path) -> None:
    (tmp_path / "vertex.json").write_text(json.dumps(_account("vertex")))
    (tmp_path / "wrong.json").write_text('{"type": "service_account"}')
    reading = _reading(folder=tmp_path)
    assert _read("gcp-token:file:vertex.json", reading).text == "ya29.vertex"
    assert _why("gcp-token:file:wrong.json", reading).endswith("is not the JSON key of a service account of Google.")
    assert "'none.json'" in _why("gcp-token:file:none.json", reading)


def test_no_identity_at_google_is_told(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    assert _why("gcp:acme/openai") == "Google's own chain finds no credentials on this machine."
    assert internet.seen == []


# Azure


@pytest.fixture
def azure(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Internet:
    """Azure Key Vault, and an application of this machine."""
    pytest.importorskip("azure.identity")
    pytest.importorskip("azure.keyvault.secrets")
    for name, value in (("TENANT_ID", "tenant"), ("CLIENT_ID", "this-machine"), ("CLIENT_SECRET", "s3cret")):
        monkeypatch.setenv(f"AZURE_{name}", value)
    internet.answer = _azure
    return internet


def _azure(request: Request) -> Answer:
    """Source: https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret,
    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow"""
    login = "https://login.microsoftonline.com"
    if request.host == "login.microsoftonline.com":
        if "/.well-known/openid-configuration" in request.path:
            endpoints = {name: f"{login}/tenant/{name}" for name in ("authorization_endpoint", "token_endpoint")}
            return Answer({**endpoints, "issuer": f"{login}/tenant/v2.0"})
        given = parse_qs(request.body.decode())
        token = f"eyJ.{given['client_id'][0]}.{given['scope'][0]}"
        return Answer({"token_type": "Bearer", "expires_in": HOUR_S, "access_token": token})
    if "authorization" not in request.headers:
        challenge = f'Bearer authorization="{login}/tenant", resource="https://vault.azure.net"'
        return Answer({"error": {"code": "Unauthorized"}}, 401, (("www-authenticate", challenge),))
    name = request.path.partition("?")[0].removeprefix("/secrets/").rstrip("/")
    if not name.startswith("openai"):
        return Answer({"error": {"code": "SecretNotFound", "message": "not found"}}, 404)
    attributes = {"enabled": True, "created": 1, "updated": 1, "recoveryLevel": "Recoverable"}
    value = f"sk-in-azure {name}"
    return Answer({"value": value, "id": f"https://acme.vault.azure.net/secrets/{name}", "attributes": attributes})


def test_a_secret_of_azure_is_read_by_vault_name_and_version(azure: Internet) -> None:
    reading = _reading()
    assert _read("azure:acme/openai", reading) == Secret("sk-in-azure openai")
    version = "0" * 32
    assert _read(f"azure:acme.vault.azure.net/openai/{version}", reading) == Secret(f"sk-in-azure openai/{version}")
    assert azure.seen[-1].headers["authorization"].startswith("Bearer eyJ.this-machine.")
    assert _why("azure:acme/other", reading) == "Azure Key Vault answers 404 for 'azure:acme/other'."


def test_a_token_of_azure_is_for_a_scope_and_an_hour(azure: Internet, tmp_path: Path) -> None:
    before = SystemClock().now_ns()
    secret = _read("azure-token:default")
    assert secret.text == "eyJ.this-machine.https://cognitiveservices.azure.com/.default"
    assert secret.expires_ns is not None
    assert 3500 < (secret.expires_ns - before) / 1e9 < 3700
    account = {"tenant_id": "tenant", "client_id": "vertex", "client_secret": "s3cret"}
    (tmp_path / "entra.json").write_text(json.dumps(account))
    reading = _reading(folder=tmp_path)
    token = _read("azure-token:file:entra.json#https://ai.azure.com/.default", reading).text
    assert token == "eyJ.vertex.https://ai.azure.com/.default"
    assert all("s3cret" not in request.path for request in azure.seen)


def test_what_azure_does_not_give_is_one_sentence(azure: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    azure.answer = lambda _: Answer({"error": "invalid_client", "error_description": "AADSTS7000215: s3cret"}, 401)
    told = _why("azure-token:default")
    assert told == "Entra ID gives no token for 'azure-token:default': ClientAuthenticationError."
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert "Azure cannot be asked for 'azure:acme/openai'" in _why("azure:acme/openai")
