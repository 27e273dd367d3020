"""The use cases of budgets: set them, and keep the ledger of what was spent."""

import builtins
from collections.abc import Mapping, Sequence

from rondel.audit.service import Audit
from rondel.clock import to_ns
from rondel.errors import Invalid, NotFound, did_you_mean
from rondel.events import announce
from rondel.identity.models import EACH_USER, Actor, Owner, OwnerKind
from rondel.identity.service import Identity
from rondel.ids import Ids
from rondel.spend.budgets.models import Budget, BudgetChanged, BudgetReached, Charge, Spent, Standing, Window
from rondel.spend.budgets.rules import began, check_alerts, day_of, ends, midnight, reached
from rondel.spend.budgets.store import BudgetStore, OwnerDay
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

ALERTS = (50, 80, 100)
MOST = 10
"""How many of those who spent most a budget of each user names."""
LARGEST = 2**62
"""Nano-USD; some four billion dollars."""


class Budgets:
    """What may be spent by whom, and what was."""

    def __init__(self, *, store: BudgetStore, identity: Identity, audit: Audit, ids: Ids) -> None:
        self._store, self._identity, self._audit, self._ids = store, identity, audit, ids

    def set(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        owner: str,
        amount_nano: int,
        *,
        window: Window = Window.MONTH,
        is_hard: bool = True,
        alerts: Sequence[int] = ALERTS,
    ) -> Standing:
        """Make or change the budget of an owner for a kind of window; what was spent in it so far counts.

        Raises:
            NotFound: there is no such owner.
            Invalid: the amount or an alert makes no sense.
        """
        if not 0 <= amount_nano <= LARGEST:
            raise Invalid(f"A budget is 0 to {LARGEST} nano-dollars, not {amount_nano}.")
        who, percents = self._identity.owner(tx, scope, owner), check_alerts(alerts)
        before = self._find(self._store.budgets(tx, scope), who, window)
        budget = Budget(
            id=before.id if before else self._ids.new("bud"),
            owner=who,
            window=window,
            amount_nano=amount_nano,
            is_hard=is_hard,
            alerts=percents,
            created_at=before.created_at if before else tx.now(),
        )
        self._store.save(tx, scope, budget)
        told = {"owner": owner, "window": window.value, "amount_nano": amount_nano, "is_hard": is_hard}
        self._audit.record(tx, scope, actor, "budget.set", budget.id, **told, alerts=list(percents))
        self._changed(tx, scope, budget)
        return self._standing(tx, scope, budget)

    def remove(self, tx: Tx, scope: Scope, actor: Actor, budget_id: str) -> Budget:
        """Forget a budget; what was spent stays in the ledger.

        Raises:
            NotFound: there is none.
        """
        budget = self._get(tx, scope, budget_id)
        self._store.remove(tx, scope, budget.id)
        self._audit.record(tx, scope, actor, "budget.remove", budget.id, window=budget.window.value)
        self._changed(tx, scope, budget)
        return budget

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Standing]:
        """Every budget with what is spent of it, oldest first."""
        return [self._standing(tx, scope, budget) for budget in self._store.budgets(tx, scope)]

    def get(self, tx: Tx, scope: Scope, budget_id: str) -> Standing:
        """By its id.

        Raises:
            NotFound: there is none.
        """
        return self._standing(tx, scope, self._get(tx, scope, budget_id))

    def hard(self, tx: Tx, scope: Scope) -> builtins.list[Budget]:
        """Those that refuse."""
        return [budget for budget in self._store.budgets(tx, scope) if budget.is_hard]

    def of(self, tx: Tx, scope: Scope, owner: Owner, window: Window) -> Budget | None:
        """The budget of an owner for a kind of window."""
        return self._find(self._store.budgets(tx, scope), owner, window)

    def spent(self, tx: Tx, scope: Scope, budget: Budget, *, most: int) -> dict[str, Spent]:
        """What is spent in the window in force, by owner; of each user's budget by the `most` who spent most."""
        first, end = self._window(tx, budget)
        kind, owner = budget.owner
        if kind is OwnerKind.USER and owner == EACH_USER:
            return self._store.most(tx, scope, kind, first, end, most)
        return self._store.spent(tx, scope, kind, [owner], first, end)

    # The ledger

    def charge(self, tx: Tx, charges: Sequence[Charge]) -> None:
        """Write down what requests cost, in the transaction that takes them out of the spool: so each counts once.

        A key's team is the one it belongs to now. Announces each alert that is reached, once a window.
        """
        for scope in {Scope(charge.project_id, charge.environment) for charge in charges}:
            ours = [
                one for one in charges if (one.project_id, one.environment) == (scope.project_id, scope.environment)
            ]
            teams = self._identity.teams_of(tx, sorted({charge.key_id for charge in ours}))
            spent = _add_up(ours, teams)
            self._store.add_spent(tx, scope, spent)
            self._alert(tx, scope, spent)

    def _alert(self, tx: Tx, scope: Scope, spent: Mapping[OwnerDay, Spent]) -> None:
        budgets = self._store.budgets(tx, scope)
        if not budgets:
            return
        name = self._identity.owner_names(tx, scope)
        for budget in budgets:
            touched: dict[int, set[str]] = {}
            for owner, day in spent:
                if _counts_in(budget, owner, budgets):
                    touched.setdefault(began(budget.window, day), set()).add(owner.id)
            for first, owners in touched.items():
                self._alert_window(
                    tx, scope, budget, first, {one: name(Owner(budget.owner.kind, one)) for one in owners}
                )

    def _alert_window(self, tx: Tx, scope: Scope, budget: Budget, first: int, owners: Mapping[str, str]) -> None:
        spent = self._store.spent(tx, scope, budget.owner.kind, owners, first, ends(budget.window, first))
        before = self._store.reached(tx, scope, budget.id, owners, first)
        for owner, amount in sorted(spent.items()):
            percent = reached(amount.nano, budget.amount_nano, budget.alerts)
            if percent <= before.get(owner, 0):
                continue
            self._store.save_reached(tx, scope, budget.id, owner, first, percent)
            announce(
                tx,
                BudgetReached(
                    project_id=scope.project_id,
                    environment=scope.environment,
                    budget_id=budget.id,
                    owner=owners[owner],
                    window=budget.window.value,
                    started=f"{midnight(first):%Y-%m-%d}",
                    percent=percent,
                    spent_nano=amount.nano,
                    amount_nano=budget.amount_nano,
                    is_hard=budget.is_hard,
                ),
            )

    def _standing(self, tx: Tx, scope: Scope, budget: Budget) -> Standing:
        first, end = self._window(tx, budget)
        spent = self.spent(tx, scope, budget, most=MOST)
        owners = self._store.reached(tx, scope, budget.id, [*spent, budget.owner.id], first)
        most = tuple((owner, amount.nano) for owner, amount in spent.items())
        return Standing(
            budget=budget,
            name=self._identity.owner_names(tx, scope)(budget.owner),
            started=midnight(first),
            ends=None if end is None else midnight(end),
            spent=max(spent.values(), default=Spent()),
            reached=max(owners.values(), default=0),
            most=most if budget.owner == Owner(OwnerKind.USER, EACH_USER) else (),
        )

    def _window(self, tx: Tx, budget: Budget) -> tuple[int, int | None]:
        day = day_of(to_ns(tx.now()) / 1e9)
        return began(budget.window, day), ends(budget.window, day)

    def _get(self, tx: Tx, scope: Scope, budget_id: str) -> Budget:
        known = {budget.id: budget for budget in self._store.budgets(tx, scope)}
        if budget_id in known:
            return known[budget_id]
        raise NotFound(f"There is no budget {budget_id!r}. {did_you_mean(budget_id, known)}")

    def _find(self, budgets: Sequence[Budget], owner: Owner, window: Window) -> Budget | None:
        return next((one for one in budgets if (one.owner, one.window) == (owner, window)), None)

    def _changed(self, tx: Tx, scope: Scope, budget: Budget) -> None:
        announce(tx, BudgetChanged(project_id=scope.project_id, environment=scope.environment, budget_id=budget.id))


def _add_up(charges: Sequence[Charge], teams: Mapping[str, str]) -> dict[OwnerDay, Spent]:
    """What each owner spent on each day."""
    spent: dict[OwnerDay, Spent] = {}
    for charge in charges:
        owners = [Owner(OwnerKind.PROJECT, "")]
        if charge.key_id:
            owners.append(Owner(OwnerKind.KEY, charge.key_id))
        if charge.key_id in teams:
            owners.append(Owner(OwnerKind.TEAM, teams[charge.key_id]))
        if charge.user:
            owners.append(Owner(OwnerKind.USER, charge.user))
        for owner in owners:
            at = OwnerDay(owner, charge.day)
            nano, requests, unpriced = spent.get(at, Spent())
            spent[at] = Spent(nano + (charge.nano or 0), requests + 1, unpriced + (charge.nano is None))
    return spent


def _counts_in(budget: Budget, owner: Owner, budgets: Sequence[Budget]) -> bool:
    """Whether what `owner` spends is spent of this budget; each user's is for those who have none of their own."""
    if budget.owner == owner:
        return True
    if budget.owner != Owner(OwnerKind.USER, EACH_USER) or owner.kind is not OwnerKind.USER:
        return False
    return not any(one.owner == owner and one.window is budget.window for one in budgets)
