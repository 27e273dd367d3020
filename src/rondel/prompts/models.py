"""What a prompt is: a name, and versions that never change once saved."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from rondel.chat import Message
from rondel.events import Event

NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,99}")  # a prompt or a label: `support/triage`, `production`


@dataclass(frozen=True, slots=True)
class PromptDraft:
    """The content of a version before it has a number: what `save` takes and what the digest is made of."""

    messages: tuple[Message, ...]
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    response_schema: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """One saved version; `digest` names its content, `number` counts from 1 within `name`."""

    id: str
    name: str
    number: int
    messages: tuple[Message, ...]
    parameters: Mapping[str, object]
    response_schema: Mapping[str, object] | None
    digest: str
    variables: tuple[str, ...]
    note: str
    created_at: datetime
    created_by: str
    labels: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """How people and releases write it: `support@3`."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line of the list: the newest number, and which version each label points to."""

    name: str
    newest: int
    labels: Mapping[str, int]
    created_at: datetime
    changed_at: datetime


class LabelMove(NamedTuple):
    """A label before and after; `before` is None when the label is new."""

    name: str
    label: str
    before: int | None
    after: int


@dataclass(frozen=True, slots=True)
class PromptDiff:
    """What changed from one version to another; `text` is a unified diff of messages, parameters and schema."""

    name: str
    before: int
    after: int
    text: str
    variables_added: tuple[str, ...]
    variables_removed: tuple[str, ...]


class PromptLabelMoved(Event, frozen=True, kw_only=True):
    """A label points to another version."""

    name: str
    label: str
    number: int
