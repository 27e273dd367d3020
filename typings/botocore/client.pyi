from typing import TypedDict

class _Secret(TypedDict, total=False):
    SecretString: str
    SecretBinary: bytes

class BaseClient:
    def get_secret_value(self, *, SecretId: str) -> _Secret: ...
