"""`rondel gateway cache show` and `purge`."""

from collections.abc import Callable
from typing import Any

import cyclopts

from rondel.client.http import Api
from rondel.errors import Invalid
from rondel.gateway.health import SPARED
from rondel.terminal import done, emit, listing


def cache_group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of kept answers."""
    app = cyclopts.App(name="cache", help="Answers that routes keep.")

    @app.command
    def show(*, json: bool = False) -> None:
        """What is kept on this machine, and how often it was given, by route.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/cache")
        columns = {"Route": "route", "Answers": "answers", "Bytes": "bytes", "Given again": "given", "Asked": "asked"}
        shown = found if json else [_shown(one) for one in found]
        listing(shown, columns, json=json, empty="Nothing is kept: 'rondel gateway route NAME --cache exact' begins.")

    @app.command
    def purge(
        *,
        route: str | None = None,
        key: str | None = None,
        project: str | None = None,
        all_: bool = False,
        json: bool = False,
    ) -> None:
        """Forget kept answers; exactly one of the first four says which.

        Parameters
        ----------
        route
            All answers of this route.
        key
            The answers of this key, and all that keys of the project share.
        project
            All answers of the project in this environment; its name, to be sure.
        all_
            All answers of the project in all of its environments.
        json
            For machines.
        """
        chosen = {"route": route, "key": key, "project": project, "all": True if all_ else None}
        given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
        if len(given) != 1:
            raise Invalid("Say what to forget by exactly one of --route, --key, --project and --all.")
        api = connect()
        gone = api.delete("/api/v1/cache", **given)
        if json:
            emit(gone)
            return
        where = ", ".join(gone["environments"])
        sentence = f"The answers kept for {gone['what']} {gone['name']} in {where} are forgotten ({gone['token']})."
        done(sentence, url=f"{api.base_url}/gateway", then="rondel gateway cache show")

    return app


def _shown(kept: dict[str, Any]) -> dict[str, Any]:
    outcomes: dict[str, int] = kept["outcomes"]
    given = sum(outcomes.get(word, 0) for word in SPARED)
    return {**kept, "given": given, "asked": sum(outcomes.values()) - given}
