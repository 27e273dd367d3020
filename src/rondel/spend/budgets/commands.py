"""`rondel budget`: money for keys, teams, end users and the project."""

from collections.abc import Callable
from typing import Any

import cyclopts

from rondel.client.http import Api
from rondel.errors import NotFound, did_you_mean
from rondel.money import nano_of, usd
from rondel.spend.budgets.models import Window
from rondel.terminal import done, emit, listing, table


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of budgets."""
    app = cyclopts.App(name="budget", help="Budgets: set, list, show, remove.")
    _set(app, connect)
    _list(app, connect)
    return app


def _set(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="set")
    def set_(
        owner: str,
        amount: str,
        *,
        window: Window | None = None,
        soft: bool | None = None,
        alert: list[int] | None = None,
        json: bool = False,
    ) -> None:
        """Make or change a budget; what is not given stays.

        Parameters
        ----------
        owner
            `key:NAME`, `team:NAME`, `user:NAME`, `user:*` (each end user who has none of their own) or `project`.
        amount
            Dollars, such as 25.50.
        window
            `day`, `week`, `month` or `total`; windows begin at midnight UTC. Without it: `month`.
        soft
            Tell only; without it, requests beyond the budget are refused.
        alert
            A percent of the amount at which it is told; may be given several times. Without it: 50, 80 and 100.
        json
            For machines.
        """
        api = connect()
        body: dict[str, Any] = {
            "owner": owner,
            "amount_nano": nano_of(amount),
            "window": (window or Window.MONTH).value,
        }
        known = [one for one in api.get("/api/v1/budgets") if _is(one, owner, body["window"])]
        body |= {field: value for one in known for field, value in one.items() if field in {"is_hard", "alerts"}}
        body |= {} if soft is None else {"is_hard": not soft}
        made = api.put("/api/v1/budgets", body if alert is None else body | {"alerts": alert})
        if json:
            emit(made)
            return
        kind = "hard" if made["is_hard"] else "soft"
        sentence = f"The {kind} budget of {made['owner']} is {_each(made)}; {usd(made['spent_nano'])} of it is spent."
        done(sentence, url=f"{api.base_url}/gateway/keys", then=f"rondel budget show {made['id']}")

    @app.command
    def remove(budget: str, *, json: bool = False) -> None:
        """Forget a budget; what was spent stays known.

        Parameters
        ----------
        budget
            Its id, or its owner when that has only one.
        json
            For machines.
        """
        api = connect()
        found = _one(api, budget)
        api.delete(f"/api/v1/budgets/{found['id']}")
        if json:
            emit(found)
            return
        done(f"The budget of {found['owner']} is gone.", url=f"{api.base_url}/gateway/keys", then="rondel budget list")


def _list(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """Budgets, and what is spent of them.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/budgets")
        rows = found if json else [_shown(one) for one in found]
        columns = {"Owner": "owner", "Budget": "each", "Spent": "spent", "Left": "left", "Kind": "kind", "Id": "id"}
        listing(rows, columns, json=json, empty="There is no budget: set one with 'rondel budget set OWNER AMOUNT'.")

    @app.command
    def show(budget: str, *, json: bool = False) -> None:
        """One budget: its window, what is spent, what was told.

        Parameters
        ----------
        budget
            Its id, or its owner when that has only one.
        json
            For machines.
        """
        found = _one(connect(), budget)
        if json:
            emit(found)
            return
        columns = {"Owner": "owner", "Budget": "each", "Spent": "spent", "Left": "left", "Kind": "kind"}
        columns |= {"Since": "started", "Until": "ends", "Requests": "requests", "Unknown price": "unpriced"}
        table([_shown(found)], columns | {"Told at %": "reached"}, empty="")
        if found["most"]:
            most = [one | {"spent": usd(one["spent_nano"])} for one in found["most"]]
            table(most, {"User": "user", "Spent": "spent"}, empty="")


def _is(budget: dict[str, Any], owner: str, window: str) -> bool:
    return budget["owner"] in {owner, f"key:{owner}"} and budget["window"] == window


def _one(api: Api, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = api.get("/api/v1/budgets")
    named = [one for one in found if name in {one["id"], one["owner"], one["owner"].removeprefix("key:")}]
    if len(named) == 1:
        return named[0]
    if named:
        raise NotFound(f"{name!r} has several budgets: say which one by its id, {' or '.join(b['id'] for b in named)}.")
    raise NotFound(f"There is no budget {name!r}. {did_you_mean(name, [one['owner'] for one in found])}")


def _each(budget: dict[str, Any]) -> str:
    return f"{usd(budget['amount_nano'])} {'in all' if budget['window'] == 'total' else 'a ' + budget['window']}"


def _shown(budget: dict[str, Any]) -> dict[str, Any]:
    kind = "hard" if budget["is_hard"] else "soft"
    money = {"spent": usd(budget["spent_nano"]), "left": usd(budget["left_nano"])}
    return {**budget, **money, "each": _each(budget), "kind": kind}
