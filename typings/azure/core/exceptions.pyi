class AzureError(Exception): ...

class HttpResponseError(AzureError):
    status_code: int | None
