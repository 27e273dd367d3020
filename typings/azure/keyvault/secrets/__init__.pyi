from azure.core.credentials import TokenCredential

class KeyVaultSecret:
    value: str | None

class SecretClient:
    def __init__(
        self,
        vault_url: str,
        credential: TokenCredential,
        *,
        connection_timeout: float = ...,
        read_timeout: float = ...,
        retry_total: int = ...,
    ) -> None: ...
    def get_secret(self, name: str, version: str | None = ...) -> KeyVaultSecret: ...
