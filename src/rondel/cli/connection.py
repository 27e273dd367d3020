"""How a command reaches the server: RONDEL_URL and RONDEL_KEY, or the running stack of the data folder."""

import json
import os
from typing import NamedTuple

from rondel.client.http import Api, ApiError, HttpApi
from rondel.settings import load
from rondel.storage.folder import Folder


def connect() -> Api:
    """The API of the stack that is meant, in the name that is meant: `RONDEL_KEY`'s, else the data folder's.

    Raises:
        ApiError: none is running, or an address has no key; the message says what to do.
    """
    url, key = os.environ.get("RONDEL_URL", ""), os.environ.get("RONDEL_KEY", "")
    if url and not key:
        raise ApiError("RONDEL_URL is set and RONDEL_KEY is not: set both.", code="invalid_request")
    if not url or not key:
        running = _running(Folder(load().data))
        url, key = url or running.url, key or running.key
    return HttpApi(url, key, environment=os.environ.get("RONDEL_ENVIRONMENT"))


class _Running(NamedTuple):
    url: str
    key: str


def _running(folder: Folder) -> _Running:
    try:
        up = json.loads(folder.running.read_text())
        local = json.loads(folder.local_key.read_text())
    except FileNotFoundError as error:
        raise ApiError(
            f"No stack is running in {str(folder.root)!r}: start it with 'rondel up', or set RONDEL_URL and RONDEL_KEY."
        ) from error
    except PermissionError as error:
        raise ApiError(f"{str(folder.root)!r} belongs to somebody else: set RONDEL_URL and RONDEL_KEY.") from error
    return _Running(f"http://{up['host']}:{up['port']}", local["key"])
