from typing import TypedDict

class _Error(TypedDict, total=False):
    Code: str

class _Response(TypedDict, total=False):
    Error: _Error

class BotoCoreError(Exception): ...

class ClientError(Exception):
    response: _Response
