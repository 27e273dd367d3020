"""Wire shapes of prompts."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rondel.chat import Message, ToolCall
from rondel.prompts.models import PromptDraft


class _FromModel(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ToolCallShape(_Body):
    """A call that a model asked for."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    id: str
    name: str
    arguments: str


class MessageShape(_Body):
    """One turn, with its template; unknown fields are refused, so that a misspelt one is not lost."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    role: str
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCallShape, ...] = ()
    tool_call_id: str | None = None

    def message(self) -> Message:
        """As the model."""
        calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in self.tool_calls)
        return Message(self.role, self.content, self.name, calls, self.tool_call_id)


class PromptIn(_Body):
    """The content of a version."""

    name: str
    messages: tuple[MessageShape, ...]
    parameters: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    response_schema: dict[str, JsonValue] | None = None
    note: str = Field(default="", max_length=2000)

    def draft(self) -> PromptDraft:
        """As the model."""
        messages = tuple(message.message() for message in self.messages)
        return PromptDraft(messages, self.parameters, self.response_schema)


class LabelIn(_Body):
    """The version that the label shall point to: `name`, `name@3` or `name@other-label`."""

    ref: str
    label: str


class PromptOut(_FromModel):
    """One line of the list."""

    name: str
    newest: int
    labels: dict[str, int]
    created_at: datetime
    changed_at: datetime


class PromptVersionOut(_FromModel):
    """One version, whole."""

    id: str
    ref: str
    name: str
    number: int
    messages: tuple[MessageShape, ...]
    parameters: dict[str, JsonValue]
    response_schema: dict[str, JsonValue] | None
    digest: str
    variables: tuple[str, ...]
    labels: tuple[str, ...]
    note: str
    created_at: datetime
    created_by: str


class LabelMoveOut(_FromModel):
    """A label before and after; `before` is null when the label is new."""

    name: str
    label: str
    before: int | None
    after: int


class PromptDiffOut(_FromModel):
    """What changed; `text` is a unified diff."""

    name: str
    before: int
    after: int
    text: str
    variables_added: tuple[str, ...]
    variables_removed: tuple[str, ...]
