"""`rondel run`: what was tried."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import cyclopts

from rondel.client.files import save
from rondel.client.http import Api
from rondel.terminal import done, emit, listing, table

COLUMNS = {
    "Run": "id",
    "Kind": "kind",
    "Name": "name",
    "State": "state",
    "Data": "data_version",
    "Seconds": "seconds",
    "Started": "started_at",
}


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of runs."""
    app = cyclopts.App(name="run", help="Runs: what was tried, with which code, data and settings.")

    @app.command(name="list")
    def list_(
        *,
        kind: str | None = None,
        experiment: str | None = None,
        state: str | None = None,
        limit: int = 50,
        json: bool = False,
    ) -> None:
        """Runs, newest first.

        Parameters
        ----------
        kind
            Only of this kind: training, prompt, evaluation, compression or other.
        experiment
            Only of this experiment.
        state
            Only in this state: running, finished, failed or cancelled.
        limit
            How many.
        json
            For machines.
        """
        found = connect().get("/api/v1/runs", kind=kind, experiment=experiment, state=state, limit=limit)
        listing(found, COLUMNS, json=json, empty="No run yet: 'rondel train start RECIPE.yaml' makes one.")

    @app.command
    def show(run: str, *, json: bool = False) -> None:
        """A run: settings, code, data, metrics, artifacts."""
        found = connect().get(f"/api/v1/runs/{run}")
        if json:
            emit(found)
            return
        table([found], COLUMNS, empty="")
        if found["error"]:
            table([found], {"Error": "error"}, empty="")
        code = found["code"]
        facts = {
            "code": code["version"],
            "commit": (code["commit"] or "unknown") + (" and changes" if code["diff_sha256"] else ""),
            "environment": found["lock_sha256"],
            "seed": found["seed"],
            **{f"settings.{name}": value for name, value in found["settings"].items()},
        }
        table(
            [{"name": name, "value": value} for name, value in facts.items()],
            {"Made with": "name", "": "value"},
            empty="",
        )
        metrics = [{"name": name, "value": value} for name, value in found["metrics"].items()]
        table(metrics, {"Metric": "name", "Last": "value"}, empty="No metric was logged.")
        table(found["artifacts"], {"Artifact": "name", "Bytes": "size", "SHA-256": "sha256"}, empty="No artifact.")

    @app.command
    def compare(first: str, second: str, *more: str, json: bool = False) -> None:
        """Runs side by side: what differs in how they were made, and what came out."""
        names = (first, second, *more)

        found = connect().get("/api/v1/runs/compare", run=list(names))
        if json:
            emit(found)
            return
        columns = {"": "name", **{name: str(at) for at, name in enumerate(names)}}
        made = [
            {"name": row["name"], **{str(at): value for at, value in enumerate(row["values"])}}
            for row in found["differences"]
        ]
        table(made, columns, empty=found["sentence"])
        came = [
            {"name": name, **{str(at): value for at, value in enumerate(values)}}
            for name, values in found["metrics"].items()
        ]
        table(came, columns, empty="No metric was logged.")

    @app.command
    def artifact(run: str, name: str, file: Path) -> None:
        """Save an artifact of a run to a file, which appears when it is whole."""
        api = connect()
        save(file, api.lines(f"/api/v1/runs/{run}/artifacts/{quote(name)}"))
        done(f"Saved {file}.", url=f"{api.base_url}/experiments/{run}", then=f"rondel run show {run}")

    return app
