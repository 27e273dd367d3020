from azure.core.credentials import AccessToken

class DefaultAzureCredential:
    def __init__(self) -> None: ...
    def get_token(self, *scopes: str) -> AccessToken: ...

class ClientSecretCredential:
    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        client_secret: str,
        *,
        authority: str | None = ...,
        disable_instance_discovery: bool = ...,
    ) -> None: ...
    def get_token(self, *scopes: str) -> AccessToken: ...
