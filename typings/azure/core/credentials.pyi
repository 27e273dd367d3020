from typing import NamedTuple, Protocol

class AccessToken(NamedTuple):
    token: str
    expires_on: int

class TokenCredential(Protocol):
    def get_token(self, *scopes: str) -> AccessToken: ...
