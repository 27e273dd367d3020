"""`rondel key`: who may call, and as whom."""

from collections.abc import Callable
from datetime import timedelta
from shlex import quote as shell
from urllib.parse import quote

import cyclopts

from rondel.client.http import Api
from rondel.clock import Clock, SystemClock
from rondel.errors import Invalid
from rondel.identity.models import Role
from rondel.terminal import done, emit, listing, table

LONGEST_DAYS = 36_500
"""A hundred years; a key for longer is one without an end."""
MOST_OVERLAP_HOURS = 90 * 24


def group(connect: Callable[[], Api], clock: Clock | None = None) -> cyclopts.App:
    """The commands of keys and people. `clock` says from when the days of a key are counted."""
    app = cyclopts.App(name="key", help="Keys and people: issue, list, revoke.")
    _keys(app, connect, clock or SystemClock())
    _changes(app, connect, clock or SystemClock())
    _people(app, connect)
    return app


def _keys(app: cyclopts.App, connect: Callable[[], Api], clock: Clock) -> None:
    @app.command
    def create(
        name: str,
        *,
        role: Role = Role.CALLER,
        person: str | None = None,
        team: str | None = None,
        expires_in_days: float | None = None,
        json: bool = False,
    ) -> None:
        """Issue a key; its secret is shown this once.

        Parameters
        ----------
        name
            What it is for, such as `checkout-service`.
        role
            What it may do; `caller` only calls models.
        person
            The name of the person who holds it: what it does is done in that name.
        team
            The team whose limits and budgets it shares.
        expires_in_days
            After so many days it opens nothing; without it, it has no end.
        json
            For machines.
        """
        ends = _end(expires_in_days, clock)
        api = connect()
        body = {"name": name, "role": role.value, "person": person, "team": team, "expires_at": ends}
        made = api.post("/api/v1/keys", body)
        if json:
            emit(made)
            return
        end = f" until {made['expires_at']}" if made["expires_at"] else ""
        done(
            f"Issued key {made['name']} ({made['id']}), role {made['role']}{end}. Its secret, shown this once:\n\n"
            f"    {made['secret']}\n",
            url=f"{api.base_url}/gateway/keys",
            then=f"rondel gateway limit {shell(name)} --budget 25" if role is Role.CALLER else "rondel key list",
        )

    @app.command(name="list")
    def list_(*, everything: bool = False, json: bool = False) -> None:
        """Keys, oldest first; never their secrets.

        Parameters
        ----------
        everything
            Revoked ones too.
        json
            For machines.
        """
        api = connect()
        found = [key for key in api.get("/api/v1/keys") if everything or not key["revoked_at"]]
        if json:
            emit(found)
            return
        names = {one["id"]: one["name"] for one in (*api.get("/api/v1/people"), *api.get("/api/v1/teams"))}
        rows = [
            key | {field: names.get(key[f"{field}_id"], key[f"{field}_id"]) for field in ("person", "team")}
            for key in found
        ]
        columns = {"Name": "name", "Role": "role", "Person": "person", "Team": "team"}
        columns |= {"Environment": "environment", "Key": "shown"}
        columns |= {"Ends": "expires_at", "Revoked": "revoked_at", "Id": "id"}
        if not everything:
            del columns["Revoked"]
        table(rows, columns, empty="There is no key: issue one with 'rondel key create NAME'.")

    @app.command
    def revoke(name: str, *, json: bool = False) -> None:
        """End a key for good; gateways refuse it within a second.

        Parameters
        ----------
        name
            Its id, or its name: of several with one name the newest that is not revoked yet.
        json
            For machines.
        """
        api = connect()
        ended = api.delete(f"/api/v1/keys/{quote(name, safe='')}")
        if json:
            emit(ended)
            return
        done(
            f"Revoked key {ended['name']} ({ended['id']}).", url=f"{api.base_url}/gateway/keys", then="rondel key list"
        )


def _changes(app: cyclopts.App, connect: Callable[[], Api], clock: Clock) -> None:
    @app.command
    def change(name: str, *, team: str | None = None, expires_in_days: float | None = None, json: bool = False) -> None:
        """Move a key to another team, or let it end at another time; what is not given stays.

        Parameters
        ----------
        name
            Its name or id.
        team
            The team whose limits and budgets it shares from now on; empty for none.
        expires_in_days
            After so many days from now it opens nothing.
        json
            For machines.
        """
        api = connect()
        body = {"team": team, "expires_at": _end(expires_in_days, clock)}
        made = api.put(f"/api/v1/keys/{quote(name, safe='')}", body)
        if json:
            emit(made)
            return
        done(
            f"Key {made['name']} ({made['id']}) is changed.", url=f"{api.base_url}/gateway/keys", then="rondel key list"
        )

    @app.command
    def rotate(name: str, *, overlap_hours: float = 24.0, json: bool = False) -> None:
        """Give a key a new secret, shown this once; the old one goes on for a while.

        Parameters
        ----------
        name
            Its name or id.
        overlap_hours
            How long the old secret opens the same; 0 ends it at once.
        json
            For machines.
        """
        if not 0 <= overlap_hours <= MOST_OVERLAP_HOURS:
            raise Invalid(f"--overlap-hours takes 0 to {MOST_OVERLAP_HOURS}, not {overlap_hours:g}.")
        api = connect()
        made = api.post(f"/api/v1/keys/{quote(name, safe='')}/rotate", {"overlap_s": overlap_hours * 3600})
        if json:
            emit(made)
            return
        until = f"The old one is good until {made['old_until']}" if made["old_until"] else "The old one is over"
        sentence = (
            f"Key {made['name']} ({made['id']}) has a new secret, shown this once:\n\n    {made['secret']}\n\n{until}."
        )
        done(sentence, url=f"{api.base_url}/gateway/keys", then="rondel key list")


def _end(days: float | None, clock: Clock) -> str | None:
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise Invalid(f"--expires-in-days takes more than 0 and at most {LONGEST_DAYS}, not {days:g}.")
    return None if days is None else (clock.now() + timedelta(days=days)).isoformat()


def teams(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of teams."""
    app = cyclopts.App(name="team", help="Teams: keys that share limits and budgets.")

    @app.command
    def create(name: str, *, json: bool = False) -> None:
        """Make a team.

        Parameters
        ----------
        name
            Such as `checkout`.
        json
            For machines.
        """
        api = connect()
        made = api.post("/api/v1/teams", {"name": name})
        if json:
            emit(made)
            return
        then = f"rondel key create KEY --team {shell(name)}"
        done(f"Made team {made['name']} ({made['id']}).", url=f"{api.base_url}/gateway/keys", then=then)

    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """The teams of the project.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/teams")
        columns = {"Name": "name", "Since": "created_at", "Id": "id"}
        listing(found, columns, json=json, empty="There is no team: make one with 'rondel team create NAME'.")

    @app.command
    def remove(name: str, *, json: bool = False) -> None:
        """Forget a team; its keys stay, and belong to none.

        Parameters
        ----------
        name
            Its name or id.
        json
            For machines.
        """
        api = connect()
        gone = api.delete(f"/api/v1/teams/{quote(name, safe='')}")
        if json:
            emit(gone)
            return
        done(
            f"Team {gone['name']} ({gone['id']}) is gone.", url=f"{api.base_url}/gateway/keys", then="rondel team list"
        )

    return app


def _people(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def people(*, json: bool = False) -> None:
        """Everybody of the project.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/people")
        columns = {"Name": "name", "Role": "role", "Since": "created_at", "Id": "id"}
        listing(found, columns, json=json, empty="Nobody yet: add somebody with 'rondel key add-person NAME'.")

    @app.command
    def add_person(name: str, *, role: Role = Role.DEVELOPER, json: bool = False) -> None:
        """Add somebody in whose name keys can be issued.

        Parameters
        ----------
        name
            The name that stands under approvals and in the audit log.
        role
            What they may do.
        json
            For machines.
        """
        api = connect()
        made = api.post("/api/v1/people", {"name": name, "role": role.value})
        if json:
            emit(made)
            return
        then = f"rondel key create {shell(name)} --person {shell(name)} --role {role}"
        done(f"Added {made['name']} ({made['id']}), role {made['role']}.", url=f"{api.base_url}/audit", then=then)
