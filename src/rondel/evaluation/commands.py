"""`rondel eval`: run, look, compare, plan."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

from rondel.client.following import follow
from rondel.client.http import Api
from rondel.errors import Invalid, did_you_mean
from rondel.terminal import done, emit, keep_quiet, listing, read_document, say, table

_LINE = {
    "Evaluation": "id",
    "Name": "name",
    "Dataset": "dataset",
    "Split": "split",
    "State": "state",
    "Metric": "primary",
    "Value": "value",
    "95 % interval": "interval",
    "Errors": "errors",
}
_COMPARISON = {
    "Metric": "metric",
    "A": "a_mean",
    "B": "b_mean",
    "Difference": "value",
    "Low": "low",
    "High": "high",
    "p": "p_value",
    "Could see": "mde",
    "n": "n",
}
OPTIONS = "evaluators' options by name, such as 'regex: {pattern: ...}'"


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of evaluation."""
    app = cyclopts.App(name="eval", help="Evaluations: is it good, and is B better than A?")
    _reading(app, connect)
    _comparing(app, connect)
    _running(app, connect)
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, limit: int = 20, json: bool = False) -> None:
        """Evaluations, newest first.

        Parameters
        ----------
        limit
            How many.
        json
            For machines.
        """
        found = connect().get("/api/v1/evaluations", limit=limit)
        if json:
            emit(found)
        else:
            table([_line(one) for one in found], _LINE, empty="No evaluation yet: run one with 'rondel eval run'.")

    @app.command
    def show(evaluation: str, *, limit: int = 10, json: bool = False) -> None:
        """One evaluation: its metrics with intervals, each field, and its first answers.

        Parameters
        ----------
        evaluation
            Its id.
        limit
            How many answers.
        json
            For machines.
        """
        api = connect()
        found = api.get(f"/api/v1/evaluations/{evaluation}")
        fields = api.get(f"/api/v1/evaluations/{evaluation}/fields")
        results = api.get(f"/api/v1/evaluations/{evaluation}/results", limit=limit)
        if json:
            emit({**found, "fields": fields, "results": results})
            return
        table([_line(found)], _LINE, empty="")
        if found["message"]:
            say(found["message"])
        named = [{"name": name, **metric} for name, metric in {**found["metrics"], **fields}.items()]
        table(named, {"Metric": "name", "Value": "value", "Low": "low", "High": "high", "n": "n"}, empty="")
        lines = [_answer(one, found["primary"]) for one in results]
        columns = {"No": "position", "Score": "score", "Answer": "output", "Why": "why", "Trace": "trace_id"}
        table(lines, columns, empty="No answer yet.")

    @app.command
    def evaluators(*, json: bool = False) -> None:
        """What can grade.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/evaluators")
        columns = {"Evaluator": "name", "From": "package", "Version": "version"}
        listing(found, columns, json=json, empty="None is installed.")


def _comparing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def compare(a: str, b: str, *, metric: str | None = None, json: bool = False) -> None:
        """B against A, paired by example: difference, 95 % interval, and what could have been seen.

        Parameters
        ----------
        a
            The evaluation to compare with.
        b
            The evaluation in question.
        metric
            One metric; all that they share if not given.
        json
            For machines.
        """
        api = connect()
        found = api.get("/api/v1/evaluations/compare", a=a, b=b, metric=metric)
        if json:
            emit(found)
            return
        table(found, _COMPARISON, empty="")
        sys.stdout.write(f"\n{found[0]['sentence']}\n  look  {api.base_url}/experiments/compare?a={a}&b={b}\n")

    @app.command
    def plan(
        *, n: int | None = None, difference: float | None = None, sd: float | None = None, json: bool = False
    ) -> None:
        """Before asking: what so many examples can see, or how many a difference needs.

        Parameters
        ----------
        n
            Examples that both are evaluated on.
        difference
            The difference to be seen, such as 0.03 for three points.
        sd
            The spread of paired differences, as an earlier comparison had it; 0.5 when nothing is known.
        json
            For machines.
        """
        if (n is None) == (difference is None):
            raise Invalid("Give --n or --difference.")
        found = connect().get("/api/v1/evaluation-plan", n=n, difference=difference, sd=sd)
        if json:
            emit(found)
        else:
            say(found["sentence"])


def _running(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def run(
        dataset: str,
        model: str,
        *,
        evaluator: list[str] | None = None,
        prompt: str | None = None,
        split: str = "",
        name: str = "",
        limit: int | None = None,
        seed: int = 0,
        recorded: bool = False,
        options: Path | None = None,
        wait: bool = True,
        json: bool = False,
    ) -> int:
        """Evaluate a route, a release or a model on a dataset, in the worker.

        Parameters
        ----------
        dataset
            Such as `support` or `support@2`.
        model
            A route, a release's id, a hosted model, or `baseline:tfidf_linear`.
        evaluator
            What grades (repeat for more); the first one counts in comparisons. `exact_match` if not given.
        prompt
            A saved prompt to put before, such as `support@production`.
        split
            Only this split.
        name
            What to call it.
        limit
            So many examples, the same for every evaluation with this seed.
        seed
            Chooses them.
        recorded
            Do not ask a release again what it answered in the traces of the examples, at temperature 0.
        options
            A YAML file with the options of evaluators by name, and `parameters` of the request.
        wait
            Stay until it is finished.
        json
            For machines.
        """
        given = read_document(options, holds=OPTIONS) if options else {}
        graders = evaluator or ["exact_match"]
        parameters = given.pop("parameters", {})
        target = {"model": model, "prompt": prompt, "parameters": parameters, "recorded": recorded}
        for one in given:
            if one not in graders:
                raise Invalid(
                    f"{str(options)!r} has options for {one!r}. {did_you_mean(one, [*graders, 'parameters'])}"
                )
        body = {
            "dataset": dataset,
            "target": target,
            "evaluators": [{"name": one, "options": given.get(one, {})} for one in graders],
            "split": split,
            "name": name,
            "limit": limit,
            "seed": seed,
        }
        api = connect()
        started = api.post("/api/v1/evaluations", body)
        evaluation = str(started["evaluation"]["id"])
        if not json:
            say(started["plan"]["sentence"])
        return _followed(api, evaluation, started, wait=wait, json=json)

    @app.command
    def resume(evaluation: str, *, wait: bool = True, json: bool = False) -> int:
        """Continue a stopped evaluation: what is answered stays answered.

        Parameters
        ----------
        evaluation
            Its id.
        wait
            Stay until it is finished.
        json
            For machines.
        """
        api = connect()
        return _followed(api, evaluation, api.post(f"/api/v1/evaluations/{evaluation}/resume"), wait=wait, json=json)


def _followed(api: Api, evaluation: str, started: dict[str, Any], *, wait: bool, json: bool) -> int:
    """Wait for the job if asked, then print; 1 when it did not finish, or nothing could be answered."""
    job = started["job_id"]
    if wait and job:
        follow(api, job, keep_quiet if json else say)
    found = api.get(f"/api/v1/evaluations/{evaluation}")
    if json:
        emit(found)
    else:
        state = f"is {found['state']}" + (f": {found['message']}" if found["message"] else "")
        then = f"rondel eval show {evaluation}" if wait else f"rondel job show {job}"
        done(f"Evaluation {evaluation} {state}", url=f"{api.base_url}/experiments/{evaluation}", then=then)
    is_good = found["state"] == "finished" and found["errors"] < found["done"]
    return 0 if is_good or not wait else 1


def _line(one: dict[str, Any]) -> dict[str, Any]:
    metric = one["metrics"].get(one["primary"])
    state = one["state"] if one["state"] == "finished" else f"{one['state']} {one['done']}/{one['size']}"
    interval = f"{metric['low']:.3f} to {metric['high']:.3f}" if metric else None
    return one | {"value": metric["value"] if metric else None, "interval": interval, "state": state}


def _answer(one: dict[str, Any], primary: str) -> dict[str, Any]:
    grade = one["grades"].get(primary) or {"value": None, "reason": ""}
    return one | {"score": grade["value"], "why": one["error"] or grade["reason"], "output": one["output"][:200]}
