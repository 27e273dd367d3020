"""`rondel monitor`: list, add, check, incidents, channels."""

from collections.abc import Callable
from typing import Any, Literal

import cyclopts

from rondel.client.http import Api
from rondel.terminal import done, emit, listing

MONITORS = {"Name": "name", "Kind": "kind", "Route": "route", "Limit": "limit", "State": "state", "Says": "sentence"}


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of monitors."""
    app = cyclopts.App(name="monitor", help="Monitors and alerts.")
    _watching(app, connect)
    _telling(app, connect)
    return app


def _watching(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """Every monitor and what its last check said."""
        found = connect().get("/api/v1/monitors")
        empty = "No monitor yet: 'rondel monitor add errors error_rate ROUTE 0.05'."
        listing(found, MONITORS, json=json, empty=empty)

    @app.command
    def add(
        name: str,
        kind: Literal["latency_p95", "error_rate", "cost", "drift"],
        route: str,
        limit: float,
        *,
        release: str = "",
        window_s: float | None = None,
        min_n: int | None = None,
        roll_back: bool = False,
        alerts: tuple[str, ...] = ("log",),
        json: bool = False,
    ) -> None:
        """Watch a route.

        Parameters
        ----------
        name
            What to call it.
        kind
            What is measured.
        route
            Whose answers.
        limit
            Milliseconds, a share, nano-USD an answer; for drift the chance of a false alarm of one check.
        release
            Only this release's answers (its id).
        window_s
            Seconds that one check looks back (not for drift).
        min_n
            Answers needed to say anything.
        roll_back
            Take the release out of traffic when the limit breaks.
        alerts
            Channels that are told.
        json
            For machines.
        """
        api = connect()
        body: dict[str, Any] = {"name": name, "kind": kind, "route": route, "limit": limit, "release_id": release}
        body |= {"window_s": window_s, "min_n": min_n, "alerts": list(alerts)}
        body["action"] = "roll back" if roll_back else "notify"
        made = api.post("/api/v1/monitors", body)
        if json:
            emit(made)
            return
        then = f"rondel monitor check {made['name']}"
        done(
            f"Monitor {made['name']} ({made['id']}) watches.", url=f"{api.base_url}/monitors/{made['name']}", then=then
        )

    @app.command
    def check(name: str, *, json: bool = False) -> int:
        """Look now; exit code 1 if the limit is broken."""
        found = connect().post(f"/api/v1/monitors/{name}/check")
        listing(found, {"State": "state", "Says": "sentence"}, json=json, empty="")
        return 1 if found["state"] == "firing" else 0

    @app.command
    def remove(name: str) -> None:
        """Take a monitor away; its incidents stay."""
        api = connect()
        api.delete(f"/api/v1/monitors/{name}")
        done(f"Monitor {name} is gone.", url=f"{api.base_url}/monitors", then="rondel monitor list")


def _telling(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def incidents(*, monitor: str | None = None, json: bool = False) -> None:
        """When limits broke and held again."""
        found = connect().get("/api/v1/incidents", monitor=monitor)
        columns = {"Incident": "id", "From": "opened_at", "To": "closed_at", "What": "sentence"}
        listing(found, columns, json=json, empty="None. Good.")

    @app.command
    def alerts(*, json: bool = False) -> None:
        """What was told to whom, and whether it arrived."""
        found = connect().get("/api/v1/alerts")
        columns = {"When": "at", "Channel": "channel", "State": "state", "What": "title", "Error": "error"}
        listing(found, columns, json=json, empty="None yet.")

    @app.command
    def webhook(name: str, url: str, *, secret: str = "", allow_private: bool = False, json: bool = False) -> None:
        """Tell a webhook; use NAME in `--alerts` of a monitor."""
        api = connect()
        options = {"url": url, "secret": secret, "allow_private": allow_private}
        made = api.put(f"/api/v1/alerts/channels/{name}", {"plugin": "webhook", "options": options})
        if json:
            emit(made)
            return
        then = f"rondel monitor add NAME error_rate ROUTE 0.05 --alerts {name}"
        done(f"Channel {name} is a webhook.", url=f"{api.base_url}/monitors", then=then)
