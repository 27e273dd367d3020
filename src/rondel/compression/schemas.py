"""Wire shapes of compression."""

from pydantic import BaseModel, ConfigDict, Field

from rondel.compression.models import Recipe, Started
from rondel.jobs.models import JobState


class CompressIn(BaseModel):
    """What to make of a model, and on which data both are held against each other."""

    model_config = ConfigDict(extra="forbid")

    to: str = "Q8_0"
    name: str = ""
    compressor: str = "gguf"
    data: str | None = Field(default=None, description="A dataset version, such as support@2.")
    split: str = "test"
    prompt: str | None = None
    evaluators: list[str] = ["exact_match"]
    limit: int | None = Field(default=None, ge=1)

    def recipe(self, model: str) -> Recipe:
        """As a model."""
        return Recipe(
            model=model,
            to=self.to,
            name=self.name,
            compressor=self.compressor,
            data=self.data,
            split=self.split,
            prompt=self.prompt,
            evaluators=tuple(self.evaluators),
            limit=self.limit,
        )


class CompressorOut(BaseModel):
    """A compressor that can be named."""

    name: str
    package: str
    version: str


class CompressionOut(BaseModel):
    """A compression under way: its job (`id`, `state` as under `/api/v1/jobs`) and its run."""

    id: str
    run_id: str
    name: str
    state: JobState

    @classmethod
    def of(cls, started: Started) -> "CompressionOut":
        """From the models."""
        return cls(id=started.job.id, run_id=started.run.id, name=started.run.name, state=started.job.state)
