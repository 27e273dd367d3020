"""The rows of budgets, of what was spent by day, and of the alerts that were given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    select,
)

from rondel.identity.models import Owner, OwnerKind
from rondel.spend.budgets.models import Budget, Spent, Window
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

BUDGETS = Table(
    "budgets",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("owner_kind", Text, nullable=False),
    Column("owner_id", Text, nullable=False),
    Column("lasts", Text, nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    Column("is_hard", Boolean, nullable=False),
    Column("alerts", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint(
        "project_id", "environment", "owner_kind", "owner_id", "lasts", name="one_budget_an_owner_and_window"
    ),
)
SPENT_DAYS = Table(
    "spent_days",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("owner_kind", Text, primary_key=True),
    Column("owner_id", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("nano", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
)
BUDGET_ALERTS = Table(
    "budget_alerts",
    METADATA,
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("budget_id", Text, primary_key=True),
    Column("owner_id", Text, primary_key=True),
    Column("began", Integer, primary_key=True, autoincrement=False),
    Column("percent", Integer, nullable=False),
)
_OWNER_DAY = ("project_id", "environment", "owner_kind", "owner_id", "day")
_CHUNK = 500
"""Owners that one question names; SQLite takes some thousands of values."""


class OwnerDay(NamedTuple):
    """Whose spending, on which UTC day."""

    owner: Owner
    day: int


class BudgetStore:
    """Rows in, models out."""

    def save(self, tx: Tx, scope: Scope, budget: Budget) -> None:
        """Insert or overwrite one."""
        values = {
            "id": budget.id,
            **scoped(scope),
            "owner_kind": budget.owner.kind.value,
            "owner_id": budget.owner.id,
            "lasts": budget.window.value,
            "amount_nano": budget.amount_nano,
            "is_hard": budget.is_hard,
            "alerts": list(budget.alerts),
            "created_at": budget.created_at,
        }
        tx.upsert(BUDGETS, values)

    def budgets(self, tx: Tx, scope: Scope) -> list[Budget]:
        """All, oldest first."""
        found = select(BUDGETS).where(within(BUDGETS, scope)).order_by(BUDGETS.c.created_at, BUDGETS.c.id)
        return [_budget(row) for row in tx.execute(found).mappings()]

    def remove(self, tx: Tx, scope: Scope, budget_id: str) -> None:
        """Delete one, and the alerts that it gave."""
        tx.execute(delete(BUDGETS).where(within(BUDGETS, scope), BUDGETS.c.id == budget_id))
        tx.execute(delete(BUDGET_ALERTS).where(within(BUDGET_ALERTS, scope), BUDGET_ALERTS.c.budget_id == budget_id))

    def add_spent(self, tx: Tx, scope: Scope, spent: Mapping[OwnerDay, Spent]) -> None:
        """Add to what was spent on these days."""
        rows = [
            {
                **scoped(scope),
                "owner_kind": owner.kind.value,
                "owner_id": owner.id,
                "day": day,
                "nano": amount.nano,
                "requests": amount.requests,
                "unpriced": amount.unpriced,
            }
            for (owner, day), amount in sorted(spent.items())
        ]
        tx.add_up(SPENT_DAYS, rows, _OWNER_DAY)

    def spent(
        self,
        tx: Tx,
        scope: Scope,
        kind: OwnerKind,
        owners: Iterable[str],
        first: int,
        end: int | None,
    ) -> dict[str, Spent]:
        """What each of these owners spent from day `first` on, before `end`."""
        names, found = list(owners), dict[str, Spent]()
        for at in range(0, len(names), _CHUNK):
            is_asked = SPENT_DAYS.c.owner_id.in_(names[at : at + _CHUNK])
            found |= self._sums(tx, scope, kind, [is_asked], first, end, limit=None)
        return found

    def most(self, tx: Tx, scope: Scope, kind: OwnerKind, first: int, end: int | None, limit: int) -> dict[str, Spent]:
        """Those who spent most, the first of them first."""
        return self._sums(tx, scope, kind, [], first, end, limit=limit)

    def _sums(
        self,
        tx: Tx,
        scope: Scope,
        kind: OwnerKind,
        where: Sequence[ColumnElement[bool]],
        first: int,
        end: int | None,
        *,
        limit: int | None,
    ) -> dict[str, Spent]:
        table = SPENT_DAYS.c
        nano = func.sum(table.nano)
        sums = (nano.label("nano"), func.sum(table.requests).label("requests"), func.sum(table.unpriced).label("none"))
        query = (
            select(table.owner_id, *sums)
            .where(within(SPENT_DAYS, scope), table.owner_kind == kind.value, table.day >= first, *where)
            .group_by(table.owner_id)
        )
        if end is not None:
            query = query.where(table.day < end)
        if limit is not None:
            query = query.order_by(nano.desc(), table.owner_id).limit(limit)
        return {row.owner_id: Spent(int(row.nano), int(row.requests), int(row.none)) for row in tx.execute(query)}

    def reached(self, tx: Tx, scope: Scope, budget_id: str, owners: Iterable[str], began: int) -> dict[str, int]:
        """The percent that was last announced of a window, by owner."""
        table, names, found = BUDGET_ALERTS.c, list(owners), dict[str, int]()
        for at in range(0, len(names), _CHUNK):
            is_asked = (table.owner_id.in_(names[at : at + _CHUNK]), table.began == began)
            query = select(table.owner_id, table.percent).where(within(BUDGET_ALERTS, scope), *is_asked)
            found |= {row.owner_id: row.percent for row in tx.execute(query.where(table.budget_id == budget_id))}
        return found

    def save_reached(self, tx: Tx, scope: Scope, budget_id: str, owner_id: str, began: int, percent: int) -> None:
        """Remember what was announced."""
        key = {"budget_id": budget_id, "owner_id": owner_id, "began": began}
        tx.upsert(BUDGET_ALERTS, {**scoped(scope), **key, "percent": percent}, tuple(key))


def _budget(row: RowMapping) -> Budget:
    return Budget(
        id=row["id"],
        owner=Owner(OwnerKind(row["owner_kind"]), row["owner_id"]),
        window=Window(row["lasts"]),
        amount_nano=row["amount_nano"],
        is_hard=row["is_hard"],
        alerts=tuple(row["alerts"]),
        created_at=row["created_at"],
    )
