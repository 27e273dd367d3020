"""`rondel train`: better candidates from one's own data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

from rondel.client.following import follow
from rondel.client.http import Api
from rondel.terminal import done, emit, keep_quiet, listing, read_document, say, table

COLUMNS = {
    "Run": "run_id",
    "Name": "name",
    "Trainer": "trainer",
    "Data": "data",
    "State": "state",
    "Done": "progress",
    "Note": "note",
    "Made": "made",
}


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of trainings."""
    app = cyclopts.App(name="train", help="Better candidates: fine-tuning, chosen examples.")
    _writing(app, connect)
    _reading(app, connect)
    return app


def _writing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def start(recipe: Path, *, wait: bool = False, json: bool = False) -> int:
        """Train by a recipe, a YAML file.

        Parameters
        ----------
        recipe
            The file: trainer, name, data, and what the trainer needs.
        wait
            Come back when it has ended; exit code 1 when it did not end well.
        json
            For machines.
        """
        api = connect()
        made = api.post("/api/v1/trainings", read_document(recipe, holds="a mapping of trainer, name, data and so on"))
        if wait:
            follow(api, made["job_id"], keep_quiet if json else say)
            made = api.get(f"/api/v1/trainings/{made['run_id']}")
        if json:
            emit(made)
        else:
            _told(api, made, is_over=wait)
        return 1 if wait and made["state"] != "finished" else 0

    @app.command
    def cancel(run: str, *, json: bool = False) -> None:
        """Ask a training to stop."""
        api = connect()
        found = api.post(f"/api/v1/trainings/{run}/cancel")
        if json:
            emit(found)
        else:
            done(f"Training {run} stops.", url=f"{api.base_url}/experiments/{run}", then=f"rondel train show {run}")


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, limit: int = 50, json: bool = False) -> None:
        """Trainings, newest first.

        Parameters
        ----------
        limit
            How many.
        json
            For machines.
        """
        found = connect().get("/api/v1/trainings", limit=limit)
        if json:
            emit(found)
        else:
            table([_row(each) for each in found], COLUMNS, empty="No training yet: 'rondel train start RECIPE.yaml'.")

    @app.command
    def show(run: str, *, json: bool = False) -> None:
        """A training: how far it is, what it measured and made."""
        found = connect().get(f"/api/v1/trainings/{run}")
        if json:
            emit(found)
            return
        table([_row(found)], COLUMNS, empty="")
        if found["error"]:
            table([found], {"Error": "error"}, empty="")
        metrics = [{"name": name, "value": value} for name, value in found["metrics"].items()]
        table(metrics, {"Metric": "name", "Last": "value"}, empty="Nothing was measured yet.")

    @app.command
    def trainers(*, json: bool = False) -> None:
        """What a recipe can name as its trainer."""
        found = connect().get("/api/v1/trainers")
        columns = {"Trainer": "name", "Package": "package", "Version": "version"}
        listing(found, columns, json=json, empty="None is installed.")


def _told(api: Api, made: dict[str, Any], *, is_over: bool) -> None:
    run = made["run_id"]
    made_of_it = ", ".join(_made(made))
    if not is_over:
        sentence, then = f"Training {run} waits for a worker.", f"rondel job show {made['job_id']} --follow"
    elif made["state"] == "finished":
        sentence, then = (
            f"Training {run} made {made_of_it or 'nothing to register'}.",
            "rondel release create FILE.yaml",
        )
    else:
        sentence, then = f"Training {run} {made['state']}: {made['error']}", f"rondel train show {run}"
    done(sentence, url=f"{api.base_url}/experiments/{run}", then=then)


def _row(training: dict[str, Any]) -> dict[str, Any]:
    recipe = training["recipe"]
    return {**training, "trainer": recipe["trainer"], "data": recipe["data"], "made": ", ".join(_made(training))}


def _made(training: dict[str, Any]) -> list[str]:
    return [f"model {each['ref']}" for each in training["models"]] + [
        f"prompt {each['ref']}" for each in training["prompts"]
    ]
