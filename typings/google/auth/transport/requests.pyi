import requests
from google.auth.credentials import Credentials

class Request:
    def __call__(self, *arguments: object, timeout: float = ...) -> object: ...

class AuthorizedSession(requests.Session):
    def __init__(self, credentials: Credentials) -> None: ...
