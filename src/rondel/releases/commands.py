"""`rondel release`: from a file to live, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

from rondel.client.http import Api
from rondel.errors import GateRefused, NeedsApproval
from rondel.terminal import done, emit, listing, read_document, table

LOOKS = {
    "Look": "number",
    "When": "at",
    "Live": "n_live",
    "Canary": "n_canary",
    "Difference": "estimate",
    "Low": "low",
    "High": "high",
    "e": "e_value",
    "Choice": "choice",
}

SOMEBODY_ELSE = "Somebody else does it with a key of their own: rondel key create NAME --person WHO --role approver."
"""An identity's approval counts once, so that any approval that is still needed is somebody else's."""


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of releases."""
    app = cyclopts.App(name="release", help="Releases: gate, approve, canary, promote, roll back.")
    _reading(app, connect)
    _making(app, connect)
    _judging(app, connect)
    _moving(app, connect)
    app.command(_policies(connect))
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, route: str | None = None, stage: str | None = None, json: bool = False) -> None:
        """Releases, newest first.

        Parameters
        ----------
        route
            Only of this route.
        stage
            Only in this stage, such as `canary`.
        json
            For machines.
        """
        found = connect().get("/api/v1/releases", route=route, stage=stage)
        columns = {"Name": "name", "Route": "route", "Stage": "stage", "By": "author_name", "Moved": "moved_at"}
        listing(found, columns, json=json, empty="No release yet: write one with 'rondel release create FILE.yaml'.")

    @app.command
    def show(name: str, *, json: bool = False) -> None:
        """A release: its parts, how it got where it is, and its limits."""
        found = connect().get(f"/api/v1/releases/{name}")
        if json:
            emit(found)
            return
        table([found], {"Release": "name", "Route": "route", "Stage": "stage", "Digest": "digest"}, empty="")
        table(found["components"], {"Part": "name", "Kind": "kind", "Is": "ref"}, empty="")
        table(found["moves"], {"When": "at", "To": "moved_to", "By": "actor", "Why": "reason"}, empty="Not moved yet.")
        if found["verdict"]:
            columns = {"Measure": "name", "Live": "live", "Canary": "canary", "Difference": "difference"}
            columns |= {"Low": "low", "High": "high", "Limit": "limit", "Verdict": "state"}
            table(found["verdict"]["measures"], columns, empty="")

    @app.command
    def evidence(name: str, *, json: bool = False) -> None:
        """What is known about a release."""
        found = connect().get(f"/api/v1/releases/{name}/evidence")
        columns = {"Evidence": "name", "Value": "value", "Low": "low", "High": "high", "n": "n", "From": "producer"}
        listing(found, columns, json=json, empty=f"None yet: 'rondel release record {name} data.leaked 0 --n 100'.")

    @app.command
    def changes(name: str, *, against: str | None = None, json: bool = False) -> None:
        """What is other than in another release (by default the one it is compared with)."""
        found = connect().get(f"/api/v1/releases/{name}/changes", against=against)
        listing(found, {"Part": "name", "Change": "sentence"}, json=json, empty="Nothing to compare.")

    @app.command
    def watch(name: str, *, json: bool = False) -> None:
        """Look at its rollout now, and show every look so far."""
        api = connect()
        verdict = api.post(f"/api/v1/releases/{name}/check")
        looks = api.get(f"/api/v1/releases/{name}/looks")
        if json:
            emit({"verdict": verdict, "looks": looks})
            return
        first = (
            "the first comes with the first canary answer"
            if verdict
            else f"start it with 'rondel release canary {name}'"
        )
        table(looks[-20:], LOOKS, empty=f"No look yet: {first}.")
        if verdict:
            table([verdict], {"Choice": "choice", "Why": "reason"}, empty="")

    @app.command
    def replay(name: str, *, json: bool = False) -> int:
        """Judge every look again from the answers it knew; exit code 1 if one comes out otherwise."""
        found = connect().get(f"/api/v1/releases/{name}/replay")
        columns = {"Look": "number", "Choice": "choice", "Replayed": "replayed", "Same": "same"}
        listing(found, columns, json=json, empty="No look yet.")
        return 0 if all(look["same"] for look in found) else 1

    @app.command
    def size(name: str, *, effect: float, spread: float = 0.3, json: bool = False) -> None:
        """How many answers its canary needs.

        Parameters
        ----------
        name
            The release.
        effect
            The difference in quality that is expected, such as -0.2.
        spread
            The standard deviation of one answer's score.
        json
            For machines.
        """
        found = connect().get(f"/api/v1/releases/{name}/size", expected_effect=effect, spread=spread)
        listing(
            found, {"Canary answers": "canary_answers", "Requests": "requests", "Why": "sentence"}, json=json, empty=""
        )


def _making(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def create(file: Path, *, json: bool = False) -> None:
        """Make a release from a YAML file.

        Parameters
        ----------
        file
            The release file: name, route, model, prompt, parameters and so on.
        json
            For machines.
        """
        api = connect()
        document = read_document(file)
        made = api.post("/api/v1/releases", document)
        if json:
            emit(made)
            return
        note = _unjudged(api, made["id"]) if document.get("rollout") else ""
        then = f"rondel eval run DATASET {made['id']} --split test"
        _told(api, made, f"Made release {made['name']} ({made['id']}).{note}", then)

    @app.command
    def record(
        name: str,
        what: str,
        value: float,
        *,
        low: float | None = None,
        high: float | None = None,
        n: int = 0,
        artifact: str = "",
        json: bool = False,
    ) -> None:
        """Enter a measured value as evidence, such as `data.leaked 0`.

        Parameters
        ----------
        name
            The release.
        what
            The evidence's name, as the policy asks for it.
        value
            What was measured.
        low
            The lower end of its 95 % interval.
        high
            The upper end.
        n
            On how many items.
        artifact
            The sha256 or id of what it was computed from.
        json
            For machines.
        """
        api = connect()
        body = {"name": what, "value": value, "low": low, "high": high, "n": n, "artifact": artifact}
        made = api.post(f"/api/v1/releases/{name}/evidence", body)
        if json:
            emit(made)
            return
        url = f"{api.base_url}/releases/{name}"
        done(f"Recorded {made['name']} ({made['id']}).", url=url, then=f"rondel release gate {name}")

    @app.command
    def evaluated(name: str, evaluation: str, *, against: str | None = None, json: bool = False) -> None:
        """Keep what an evaluation of the release measured as evidence: difference, leaked examples, valid answers.

        Parameters
        ----------
        name
            The release.
        evaluation
            The id of an evaluation that asked this release.
        against
            The id of one that asked what is live, on the same examples; the newest such one when left out.
        json
            For machines.
        """
        api = connect()
        kept = api.post(f"/api/v1/releases/{name}/evaluation", {"evaluation": evaluation, "against": against})
        if json:
            emit(kept)
            return
        table(kept, {"Evidence": "name", "Value": "value", "Low": "low", "High": "high", "Says": "statement"}, empty="")
        url = f"{api.base_url}/releases/{name}"
        pieces = "1 piece" if len(kept) == 1 else f"{len(kept)} pieces"
        done(f"Kept {pieces} of evidence.", url=url, then=f"rondel release gate {name}")


def _judging(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def gate(name: str, *, override: str = "", json: bool = False) -> None:
        """Judge the evidence by the policy; exit code 4 if it is refused.

        Parameters
        ----------
        name
            The release.
        override
            An administrator's written reason to pass a failed gate, where the policy allows that.
        json
            For machines.
        """
        api = connect()
        verdict = api.post(f"/api/v1/releases/{name}/gate", {"override": override})
        if json:
            emit(verdict)
        else:
            table(verdict["checks"], {"Evidence": "evidence", "Outcome": "state", "Why": "reason"}, empty="")
        if not verdict["passed"] and not verdict["overridden"]:
            is_missing = any(check["state"] == "missing" for check in verdict["checks"])
            hint = _how_to_measure(api, name) if is_missing else None
            raise GateRefused(f"Release {name!r}: {verdict['reason']}.", hint=hint)
        if not json:
            done("The gate is passed.", url=f"{api.base_url}/releases/{name}", then=f"rondel release approve {name}")

    @app.command
    def approve(name: str, *, refuse: bool = False, comment: str = "", json: bool = False) -> None:
        """Approve (or refuse) what the gate concluded; exit code 5 if more approvals are needed."""
        api = connect()
        body = {"decision": "refused" if refuse else "approved", "comment": comment}
        verdict = api.post(f"/api/v1/releases/{name}/approve", body)
        if json:
            emit(verdict)
        if not verdict["granted"] and not verdict["refused"]:
            raise NeedsApproval(f"Release {name!r} {verdict['reason']}.", hint=SOMEBODY_ELSE)
        if not json:
            then = f"rondel release {'show' if verdict['refused'] else 'canary'} {name}"
            done(f"Release {name}: {verdict['reason']}.", url=f"{api.base_url}/releases/{name}", then=then)


def _moving(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    def move(name: str, verb: str, body: dict[str, Any], then: str, *, json: bool) -> None:
        api = connect()
        moved = api.post(f"/api/v1/releases/{name}/{verb}", body)
        if json:
            emit(moved)
            return
        release = moved["release"]
        parts = ", ".join(f"{arm['release_id']} {arm['role']} {arm['weight']:.0%}" for arm in moved["arms"])
        note = _unjudged(api, release["id"]) if release["stage"] in {"shadow", "canary"} else ""
        sentence = f"Release {release['name']} is {release['stage']}. Route {release['route']}: {parts}.{note}"
        _told(api, release, sentence, then)

    def plan(file: Path | None) -> dict[str, Any]:
        return {"rollout": read_document(file)} if file else {}

    @app.command
    def shadow(name: str, *, rollout: Path | None = None, json: bool = False) -> None:
        """Copy a share of the traffic to it; nobody sees its answers."""
        move(name, "shadow", plan(rollout), f"rondel release watch {name}", json=json)

    @app.command
    def canary(name: str, *, rollout: Path | None = None, json: bool = False) -> None:
        """Give it the first share of its ladder; then it goes up, live or back by itself."""
        move(name, "canary", plan(rollout), f"rondel release watch {name}", json=json)

    @app.command
    def promote(name: str, *, reason: str = "", json: bool = False) -> None:
        """Make it live now."""
        move(name, "promote", {"reason": reason}, f"rondel release show {name}", json=json)

    @app.command
    def rollback(name: str, *, reason: str = "", json: bool = False) -> None:
        """Take it out of traffic in one step."""
        move(name, "rollback", {"reason": reason}, f"rondel release show {name}", json=json)

    @app.command
    def hold(name: str, *, reason: str = "", json: bool = False) -> None:
        """Let it go no further for now; harm still rolls it back."""
        move(name, "hold", {"reason": reason}, f"rondel release resume {name}", json=json)

    @app.command
    def resume(name: str, *, json: bool = False) -> None:
        """Go on after a hold."""
        move(name, "resume", {}, f"rondel release watch {name}", json=json)

    @app.command
    def retire(name: str, *, reason: str = "", json: bool = False) -> None:
        """Put away a release that gets no traffic."""
        move(name, "retire", {"reason": reason}, "rondel release list", json=json)


def _policies(connect: Callable[[], Api]) -> cyclopts.App:
    app = cyclopts.App(name="policy", help="What releases need before traffic reaches them.")

    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """Every policy."""
        found = connect().get("/api/v1/policies")
        columns = {"Name": "name", "Version": "version", "Approvals": "approvals_needed"}
        listing(
            found, columns | {"Self-approval": "allow_self_approval", "Override": "allow_override"}, json=json, empty=""
        )

    @app.command
    def show(name: str = "default") -> None:
        """A policy, in the shape that `save` reads."""
        emit(connect().get(f"/api/v1/policies/{name}"))

    @app.command
    def save(name: str, file: Path, *, json: bool = False) -> None:
        """Save a policy from a YAML file with `requirements` and `approvals_needed`."""
        api = connect()
        document = {key: value for key, value in read_document(file).items() if key not in {"name", "version"}}
        saved = api.put(f"/api/v1/policies/{name}", document)
        if json:
            emit(saved)
            return
        url, then = f"{api.base_url}/releases", f"rondel release policy show {name}"
        done(f"Policy {saved['name']} is at version {saved['version']}.", url=url, then=then)

    return app


def _told(api: Api, release: dict[str, Any], sentence: str, then: str) -> None:
    done(sentence, url=f"{api.base_url}/releases/{release['id']}", then=then)


def _unjudged(api: Api, release_id: str) -> str:
    """A second line when the rollout in force, else the one the release brings along, names no score."""
    release = api.get(f"/api/v1/releases/{release_id}")
    plan = release["rollout"]["plan"] if release["rollout"] else release["plan"]
    return "" if plan.get("score") else "\nNo score is named: quality is not judged."


def _how_to_measure(api: Api, name: str) -> str:
    release_id = api.get(f"/api/v1/releases/{name}")["id"]
    return f"Measure it: rondel eval run DATASET {release_id} --split test, then rondel release evaluated {name} ev_…"
