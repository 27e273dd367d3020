"""The Messages API as a caller's dialect: `POST /v1/messages` and `POST /v1/messages/count_tokens`."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.messages.problems import error_body
from rondel.gateway.dialects.messages.reading import read
from rondel.gateway.dialects.messages.writing import MessagesWriter
from rondel.gateway.models import Fields, Head
from rondel.gateway.ports import Problem, Writer

SESSION_HEADER = b"x-claude-code-session-id"
_AGENT = re.compile(r"(?P<user>user_.+)_session_(?P<session>[0-9A-Za-z-]+)")
_PLACE = re.compile(r" - at `\$\.(\w+)")


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Asked(msgspec.Struct):
    model: str
    stream: bool | None = None
    max_tokens: int | None = None
    metadata: _Metadata | None = None


class _Told(msgspec.Struct):
    session_id: str
    account_uuid: str = ""
    device_id: str = ""


_asked = msgspec.json.Decoder(_Asked)
_told = msgspec.json.Decoder(_Told)


class Caller(NamedTuple):
    """Who is behind a request, and in which session."""

    user: str
    session: str


def caller_of(user_id: str) -> Caller:
    """What `metadata.user_id` says; Claude Code writes its session into it, as JSON or behind `_session_`."""
    if found := _AGENT.fullmatch(user_id):
        return Caller(found["user"], found["session"])
    if user_id.startswith("{"):
        try:
            told = _told.decode(user_id)
        except msgspec.DecodeError:
            return Caller(user_id, "")
        return Caller(told.account_uuid or told.device_id or user_id, told.session_id)
    return Caller(user_id, "")


class Messages:
    """The dialect. A caller's key comes as `x-api-key` or as a bearer."""

    def head(self, target: str, headers: Mapping[bytes, bytes], body: bytes) -> Head:  # noqa: ARG002  the path says nothing here
        """What routing needs; a stream always tells its usage, and `session` in the metadata is an agent's.

        Raises:
            Invalid: `model` is missing, or a field has the wrong type.
        """
        try:
            asked = _asked.decode(body)
        except msgspec.ValidationError as error:
            place = _PLACE.search(str(error))
            if place is None:
                raise Invalid("The field 'model' is missing: give the name of a route.") from error
            raise Invalid(f"The field {place[1]!r} is wrong: {error}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"The body is not valid JSON: {error}.") from error
        except RecursionError as error:
            raise Invalid("The body's JSON is nested too deeply.") from error
        caller = caller_of((asked.metadata and asked.metadata.user_id) or "")
        session = headers.get(SESSION_HEADER, b"").decode("latin-1").strip()[:512] or caller.session
        metadata = {"session": session} if session else {}
        return Head(asked.model, asked.stream or False, asked.max_tokens, caller.user, metadata, wants_usage=True)

    def read(self, body: bytes, head: Head) -> Fields:  # noqa: ARG002  the body says it all
        """The request in OpenAI's chat dialect.

        Raises:
            Invalid: it is no such request, or asks for what cannot be said there.
        """
        return read(body)

    def writer(self, fields: Fields, head: Head, body: bytes) -> Writer:  # noqa: ARG002  an answer is written the same for all
        """For one answer."""
        return MessagesWriter(head.model)

    def error(self, status: int, problem: Problem) -> bytes:
        """`{"type": "error", "error": {...}}`."""
        return error_body(status, problem)
