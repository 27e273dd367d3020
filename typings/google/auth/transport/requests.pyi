import requests
from google.auth.credentials import Credentials

class Request: ...

class AuthorizedSession(requests.Session):
    def __init__(self, credentials: Credentials) -> None: ...
