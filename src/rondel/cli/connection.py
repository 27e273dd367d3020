"""How a command reaches the server: RONDEL_URL and RONDEL_KEY, or the running stack of the data folder."""

import json
import os

from rondel.client.http import Api, ApiError, HttpApi
from rondel.settings import load
from rondel.storage.folder import Folder


def connect() -> Api:
    """The API of the stack that is meant.

    Raises:
        ApiError: none is running; the message says what to do.
    """
    environment = os.environ.get("RONDEL_ENVIRONMENT")
    if (url := os.environ.get("RONDEL_URL")) and (key := os.environ.get("RONDEL_KEY")):
        return HttpApi(url, key, environment=environment)
    folder = Folder(load().data)
    try:
        up = json.loads(folder.running.read_text())
        local = json.loads(folder.local_key.read_text())
    except FileNotFoundError as error:
        raise ApiError(
            f"No stack is running in {str(folder.root)!r}: start it with 'rondel up', or set RONDEL_URL and RONDEL_KEY."
        ) from error
    except PermissionError as error:
        raise ApiError(f"{str(folder.root)!r} belongs to somebody else: set RONDEL_URL and RONDEL_KEY.") from error
    return HttpApi(f"http://{up['host']}:{up['port']}", local["key"], environment=environment)
