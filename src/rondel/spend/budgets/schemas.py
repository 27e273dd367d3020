"""Wire shapes of budgets."""

from datetime import datetime

from pydantic import BaseModel, Field

from rondel.spend.budgets.models import Standing, Window
from rondel.spend.budgets.service import ALERTS, LARGEST


class BudgetIn(BaseModel):
    """Money for one owner and one kind of window."""

    owner: str = Field(description="key:NAME, team:NAME, user:NAME, user:* (each end user) or project.")
    amount_nano: int = Field(ge=0, le=LARGEST, description="Nano-USD.")
    window: Window = Window.MONTH
    is_hard: bool = Field(default=True, description="Refuses what goes beyond it; a soft one only tells.")
    alerts: list[int] = Field(default=list(ALERTS), description="Percents at which it is told.")


class SpenderOut(BaseModel):
    """An end user, and what they spent in the window."""

    user: str
    spent_nano: int


class BudgetOut(BaseModel):
    """A budget as it stands. Of `user:*`, `spent_nano` is that of the user who spent most."""

    id: str
    owner: str
    window: Window
    amount_nano: int
    is_hard: bool
    alerts: list[int]
    created_at: datetime
    started: datetime
    ends: datetime | None
    spent_nano: int
    left_nano: int
    requests: int
    unpriced: int = Field(description="Requests of unknown price: they are let through and count as nothing.")
    reached: int = Field(description="The highest alert that was given in this window, in percent.")
    most: list[SpenderOut]

    @classmethod
    def of(cls, standing: Standing) -> "BudgetOut":
        """From the model."""
        budget, spent = standing.budget, standing.spent
        return cls(
            id=budget.id,
            owner=standing.name,
            window=budget.window,
            amount_nano=budget.amount_nano,
            is_hard=budget.is_hard,
            alerts=list(budget.alerts),
            created_at=budget.created_at,
            started=standing.started,
            ends=standing.ends,
            spent_nano=spent.nano,
            left_nano=max(0, budget.amount_nano - spent.nano),
            requests=spent.requests,
            unpriced=spent.unpriced,
            reached=standing.reached,
            most=[SpenderOut(user=user, spent_nano=nano) for user, nano in standing.most],
        )
