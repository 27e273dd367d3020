"""Wire shapes of serving."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from rondel.serving.models import (
    AdapterRef,
    Capabilities,
    Deployment,
    DeploymentState,
    EngineSettings,
    Wanted,
)


class SettingsShape(BaseModel):
    """How the process is sized; see the guide to serving."""

    model_config = ConfigDict(extra="forbid")

    slots: int = 4
    context_tokens: int = 2048
    threads: int = 0
    embeddings: bool = False
    dedicated_cpu: bool = False
    prompt_cache_mib: int = 256
    base_url: str = ""


class AdapterIn(BaseModel):
    """An adapter to serve: a registry reference, and the name that requests use."""

    model_config = ConfigDict(extra="forbid")

    adapter: str = Field(min_length=1, examples=["support-lora@1"])
    called: str = ""

    def ref(self) -> AdapterRef:
        """As a model; called as its model is when no name is given."""
        return AdapterRef(self.called or self.adapter.partition("@")[0], self.adapter)


class DeploymentIn(BaseModel):
    """What is wanted of a deployment."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="", examples=["smollm2"])
    engine: str = "llamacpp"
    adapters: list[AdapterIn] = []
    settings: SettingsShape = SettingsShape()

    def sizes(self) -> EngineSettings:
        """The settings as a model."""
        return EngineSettings(**self.settings.model_dump())


class AdapterOut(BaseModel):
    """An adapter of a deployment."""

    name: str
    version_id: str


class DeploymentOut(BaseModel):
    """A deployment: what is wanted and what is seen."""

    id: str
    name: str
    engine: str
    model: str
    model_id: str
    adapters: list[AdapterOut]
    settings: SettingsShape
    wanted: Wanted
    generation: int
    state: DeploymentState
    is_up_to_date: bool
    address: str
    served: list[str]
    pid: int | None
    detail: str
    failures: int
    restarts: int
    created_at: datetime
    changed_at: datetime | None

    @classmethod
    def of(cls, deployment: Deployment) -> "DeploymentOut":
        """From the model."""
        return cls(
            id=deployment.id,
            name=deployment.name,
            engine=deployment.engine,
            model=deployment.model_ref,
            model_id=deployment.model_id,
            adapters=[AdapterOut(name=one.name, version_id=one.version_id) for one in deployment.adapters],
            settings=SettingsShape.model_validate(deployment.settings, from_attributes=True),
            wanted=deployment.wanted,
            generation=deployment.generation,
            state=deployment.state,
            is_up_to_date=deployment.is_up_to_date,
            address=deployment.address,
            served=[name.name for name in deployment.served],
            pid=deployment.pid,
            detail=deployment.detail,
            failures=deployment.failures,
            restarts=deployment.restarts,
            created_at=deployment.created_at,
            changed_at=deployment.changed_at,
        )


class EngineOut(BaseModel):
    """An engine that can be deployed on; `problem` says why it cannot."""

    name: str
    package: str
    version: str
    capabilities: dict[str, bool] | None
    problem: str = ""


def capabilities_out(capabilities: Capabilities) -> dict[str, bool]:
    """What an engine can do, by name."""
    return {name: bool(getattr(capabilities, name)) for name in Capabilities.__slots__}
