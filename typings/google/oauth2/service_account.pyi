from collections.abc import Sequence
from typing import Any

import google.auth.credentials

class Credentials(google.auth.credentials.Credentials):
    @classmethod
    def from_service_account_info(cls, info: Any, *, scopes: Sequence[str]) -> Credentials: ...
