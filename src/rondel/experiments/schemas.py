"""Wire shapes of runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rondel.experiments.models import Point, Run, RunComparison, RunKind, RunState


class _FromModel(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CodeOut(_FromModel):
    """Which code ran."""

    version: str
    commit: str | None
    diff_sha256: str | None


class ArtifactOut(_FromModel):
    """Bytes that the run made; `GET /api/v1/runs/{id}/artifacts/{name}` gives them."""

    name: str
    sha256: str
    size: int
    media_type: str


class RunOut(_FromModel):
    """A run with the last value of each metric."""

    id: str
    kind: RunKind
    name: str
    experiment: str
    state: RunState
    settings: dict[str, Any]
    code: CodeOut
    data_version: str | None
    seed: int | None
    lock_sha256: str
    parent_id: str | None
    started_at: datetime
    started_by: str
    ended_at: datetime | None
    seconds: float | None
    error: str | None
    metrics: dict[str, float]
    artifacts: list[ArtifactOut]

    @classmethod
    def of(cls, run: Run) -> "RunOut":
        """From the model."""
        return cls.model_validate(run)


class PointOut(BaseModel):
    """One value of a series."""

    step: int
    value: float
    at: datetime


class SeriesOut(BaseModel):
    """Every point of each metric, by step."""

    metrics: dict[str, list[PointOut]]

    @classmethod
    def of(cls, series: Mapping[str, Sequence[Point]]) -> "SeriesOut":
        """From the model."""
        return cls(
            metrics={
                name: [PointOut(step=point.step, value=point.value, at=point.at) for point in points]
                for name, points in series.items()
            }
        )


class ExperimentOut(BaseModel):
    """A name that groups runs."""

    name: str
    runs: int


class DifferenceOut(BaseModel):
    """One thing that is not the same in all runs; values in their order."""

    name: str
    values: list[Any]


class ComparisonOut(BaseModel):
    """Runs side by side."""

    runs: list[RunOut]
    differences: list[DifferenceOut]
    metrics: dict[str, list[float | None]]
    sentence: str

    @classmethod
    def of(cls, found: RunComparison) -> "ComparisonOut":
        """From the model."""
        return cls(
            runs=[RunOut.of(run) for run in found.runs],
            differences=[DifferenceOut(name=row.name, values=list(row.values)) for row in found.differences],
            metrics={name: list(values) for name, values in found.metrics.items()},
            sentence=found.sentence,
        )


class RunIn(_Body):
    """A run of one's own, recorded through the API."""

    name: str
    kind: RunKind = RunKind.OTHER
    experiment: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    data_version: str | None = None
    seed: int | None = None
    parent_id: str | None = None


class MetricsIn(_Body):
    """Points of one step."""

    metrics: dict[str, float]
    step: int = 0


class EndIn(_Body):
    """How it ended."""

    state: RunState = RunState.FINISHED
    metrics: dict[str, float] = Field(default_factory=dict)
    error: str = ""
