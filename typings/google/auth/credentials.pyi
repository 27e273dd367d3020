from datetime import datetime

class Credentials:
    token: str | None
    expiry: datetime | None
    def refresh(self, request: object) -> None: ...
