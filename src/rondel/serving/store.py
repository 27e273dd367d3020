"""The rows of serving."""

from typing import Any

import msgspec
from sqlalchemy import Column, Integer, RowMapping, Table, Text, UniqueConstraint, select

from rondel.serving.models import (
    AdapterRef,
    Deployment,
    DeploymentState,
    EngineSettings,
    Observed,
    ServedName,
    Wanted,
)
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

DEPLOYMENTS = Table(
    "deployments",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("model_ref", Text, nullable=False),
    Column("adapters", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("wanted", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("state", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("served", Text, nullable=False),
    Column("served_generation", Integer, nullable=False),
    Column("pid", Integer),
    Column("detail", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("changed_at", Instant),
    UniqueConstraint("project_id", "environment", "name", name="one_deployment_a_name"),
)


class ServingStore:
    """One row a deployment: wishes are written by people, the rest by the reconciler."""

    def add(self, tx: Tx, scope: Scope, deployment: Deployment) -> None:
        """Insert a deployment."""
        tx.execute(
            DEPLOYMENTS.insert().values(
                **scoped(scope),
                id=deployment.id,
                name=deployment.name,
                created_at=deployment.created_at,
                **_wishes(deployment),
                state=deployment.state.value,
                address=deployment.address,
                served=_json(deployment.served),
                served_generation=deployment.served_generation,
                pid=deployment.pid,
                detail=deployment.detail,
                failures=deployment.failures,
                restarts=deployment.restarts,
                changed_at=deployment.changed_at,
            )
        )

    def wish(self, tx: Tx, scope: Scope, deployment: Deployment) -> None:
        """Write what people want of a deployment; what was seen of it stays."""
        tx.execute(DEPLOYMENTS.update().where(*_one(scope, deployment.id)).values(**_wishes(deployment)))

    def observe(self, tx: Tx, scope: Scope, deployment_id: str, seen: Observed) -> bool:
        """Write what was seen of a deployment; what people want stays. False when it is not there any more."""
        values = {
            "state": seen.state.value,
            "address": seen.address,
            "served": _json(seen.served),
            "served_generation": seen.served_generation,
            "pid": seen.pid,
            "detail": seen.detail,
            "failures": seen.failures,
            "restarts": seen.restarts,
            "changed_at": tx.now(),
        }
        return tx.execute(DEPLOYMENTS.update().where(*_one(scope, deployment_id)).values(**values)).rowcount > 0

    def delete(self, tx: Tx, scope: Scope, deployment_id: str) -> None:
        """Remove a deployment."""
        tx.execute(DEPLOYMENTS.delete().where(*_one(scope, deployment_id)))

    def get(self, tx: Tx, scope: Scope, name_or_id: str) -> Deployment | None:
        """One deployment by its name or id."""
        by_either = (DEPLOYMENTS.c.name == name_or_id) | (DEPLOYMENTS.c.id == name_or_id)
        row = tx.execute(select(DEPLOYMENTS).where(within(DEPLOYMENTS, scope), by_either)).mappings().first()
        return _deployment(row) if row else None

    def list(self, tx: Tx, scope: Scope) -> "list[Deployment]":
        """All deployments of a scope, by name."""
        rows = tx.execute(select(DEPLOYMENTS).where(within(DEPLOYMENTS, scope)).order_by(DEPLOYMENTS.c.name)).mappings()
        return [_deployment(row) for row in rows]

    def everywhere(self, tx: Tx) -> "list[tuple[Scope, Deployment]]":
        """All deployments of all projects: for the reconciler and the gateway's snapshot, and for nobody else."""
        rows = tx.execute(select(DEPLOYMENTS).order_by(DEPLOYMENTS.c.created_at, DEPLOYMENTS.c.id)).mappings()
        return [(Scope(row["project_id"], row["environment"]), _deployment(row)) for row in rows]


def _one(scope: Scope, deployment_id: str) -> tuple[Any, ...]:
    return (within(DEPLOYMENTS, scope), DEPLOYMENTS.c.id == deployment_id)


def _wishes(deployment: Deployment) -> dict[str, Any]:
    return {
        "engine": deployment.engine,
        "model_id": deployment.model_id,
        "model_ref": deployment.model_ref,
        "adapters": _json(deployment.adapters),
        "settings": _json(deployment.settings),
        "wanted": deployment.wanted.value,
        "generation": deployment.generation,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _deployment(row: RowMapping) -> Deployment:
    return Deployment(
        id=row["id"],
        name=row["name"],
        engine=row["engine"],
        model_id=row["model_id"],
        model_ref=row["model_ref"],
        adapters=msgspec.json.decode(row["adapters"], type=tuple[AdapterRef, ...]),
        settings=msgspec.json.decode(row["settings"], type=EngineSettings),
        wanted=Wanted(row["wanted"]),
        generation=row["generation"],
        created_at=row["created_at"],
        state=DeploymentState(row["state"]),
        address=row["address"],
        served=msgspec.json.decode(row["served"], type=tuple[ServedName, ...]),
        served_generation=row["served_generation"],
        pid=row["pid"],
        detail=row["detail"],
        failures=row["failures"],
        restarts=row["restarts"],
        changed_at=row["changed_at"],
    )
