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


def group(connect: Callable[[], Api], clock: Clock | None = None) -> cyclopts.App:
    """The commands of keys and people. `clock` says from when the days of a key are counted."""
    app = cyclopts.App(name="key", help="Keys and people: issue, list, revoke.")
    _keys(app, connect, clock or SystemClock())
    _people(app, connect)
    return app


def _keys(app: cyclopts.App, connect: Callable[[], Api], clock: Clock) -> None:
    @app.command
    def create(
        name: str,
        *,
        role: Role = Role.CALLER,
        person: str | None = None,
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
        expires_in_days
            After so many days it opens nothing; without it, it has no end.
        json
            For machines.
        """
        if expires_in_days is not None and not 0 < expires_in_days <= LONGEST_DAYS:
            raise Invalid(f"--expires-in-days takes more than 0 and at most {LONGEST_DAYS}, not {expires_in_days:g}.")
        ends = None if expires_in_days is None else (clock.now() + timedelta(days=expires_in_days)).isoformat()
        api = connect()
        made = api.post("/api/v1/keys", {"name": name, "role": role.value, "person": person, "expires_at": ends})
        if json:
            emit(made)
            return
        end = f" until {made['expires_at']}" if made["expires_at"] else ""
        done(
            f"Issued key {made['name']} ({made['id']}), role {made['role']}{end}. Its secret, shown this once:\n\n"
            f"    {made['secret']}\n",
            url=f"{api.base_url}/gateway",
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
        names = {person["id"]: person["name"] for person in api.get("/api/v1/people")}
        rows = [key | {"person": names.get(key["person_id"], key["person_id"])} for key in found]
        columns = {"Name": "name", "Role": "role", "Person": "person", "Environment": "environment", "Key": "shown"}
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
        done(f"Revoked key {ended['name']} ({ended['id']}).", url=f"{api.base_url}/gateway", then="rondel key list")


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
