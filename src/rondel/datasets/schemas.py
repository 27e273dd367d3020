"""Wire shapes of datasets."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rondel.datasets.models import Origin, Row


class _FromModel(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExampleIn(_Body):
    """One example; `input` and `expected` are any JSON."""

    input: JsonValue
    expected: JsonValue = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    split: str = ""
    trace_id: str | None = None


class RowsIn(_Body):
    """A version from rows in the request."""

    name: str
    rows: list[ExampleIn] = Field(min_length=1, max_length=10_000)
    extend: bool = Field(default=False, description="The examples of the newest version stay, these come after them.")

    def as_rows(self) -> list[Row]:
        """As the model; a row's line is its place in the request."""
        return [
            Row(line, one.input, one.expected, one.metadata, one.split, one.trace_id)
            for line, one in enumerate(self.rows, start=1)
        ]


class SplitIn(_Body):
    """Shares by name, such as `{"train": 0.8, "test": 0.2}`; `move_leaks` lets near-duplicates join the first split."""

    ref: str
    shares: dict[str, float]
    salt: str = ""
    move_leaks: bool = False


class FromTracesIn(_Body):
    """Which traces become a version, and where the right answer comes from."""

    name: str
    query: str = Field(default="", description='The filter language of traces: status:ok route:support "words"')
    route: str = ""
    release: str = ""
    expected_score: str = Field(default="expected", description="The score whose label or comment is the right answer")
    accept_score: str = Field(default="", description="Take the answer itself when this score is high enough")
    accept_at: float = 1.0
    limit: int = Field(default=10_000, ge=1, le=1_000_000)


class DatasetOut(_FromModel):
    """A dataset; `newest` is 0 while it has no version."""

    id: str
    name: str
    description: str
    newest: int
    created_at: datetime


class DatasetVersionOut(_FromModel):
    """One version; `digest` is the sha256 of its JSONL, `duplicates` how many rows were there already."""

    id: str
    ref: str
    dataset_id: str
    name: str
    number: int
    digest: str
    size: int
    splits: dict[str, int]
    origin: Origin
    source: str
    parent_id: str | None
    duplicates: int
    created_at: datetime
    created_by: str


class ExampleOut(BaseModel):
    """One example and its position in the version."""

    position: int
    id: str
    input: JsonValue
    expected: JsonValue
    metadata: dict[str, JsonValue]
    split: str
    trace_id: str | None


class ExamplePageOut(BaseModel):
    """Some examples; ask again with `after` = `next_after` until that is null."""

    version: DatasetVersionOut
    items: list[ExampleOut]
    next_after: int | None


class LeakOut(_FromModel):
    """Two nearly equal examples in different splits."""

    a: str
    b: str
    similarity: float
    a_split: str
    b_split: str


class LeaksOut(BaseModel):
    """All pairs at or above the threshold, most similar first."""

    version: str
    threshold: float
    leaks: list[LeakOut]


class DatasetDiffOut(_FromModel):
    """What changed between two versions, by example id."""

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: int


class LengthOut(_FromModel):
    """Characters."""

    mean: float
    least: int
    median: int
    p95: int
    most: int


class FieldOut(_FromModel):
    """One field of the expected values."""

    name: str
    nulls: int
    distinct: int
    values: dict[str, int]


class ProfileOut(_FromModel):
    """What is in a version."""

    size: int
    input_length: LengthOut
    without_expected: int
    splits: dict[str, int]
    fields: tuple[FieldOut, ...]
