from typing import TypedDict

class _Version(TypedDict):
    data: dict[str, object]

class _Answer(TypedDict):
    data: _Version

class _KvV2:
    def read_secret_version(
        self, path: str, *, mount_point: str = ..., raise_on_deleted_version: bool | None = ...
    ) -> _Answer: ...

class _Kv:
    v2: _KvV2

class _SecretsEngines:
    kv: _Kv

class _AppRole:
    def login(self, role_id: str, secret_id: str | None = ...) -> object: ...

class _AuthMethods:
    approle: _AppRole

class Client:
    secrets: _SecretsEngines
    auth: _AuthMethods
    def __init__(
        self,
        url: str | None = ...,
        token: str | None = ...,
        *,
        verify: bool | str = ...,
        timeout: int = ...,
        namespace: str | None = ...,
    ) -> None: ...
