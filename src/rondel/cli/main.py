"""`rondel`: the commands of the stack, and one group an area, each loaded only when it is called."""

import sys
from importlib import import_module
from importlib.metadata import version

import cyclopts

from rondel.cli.connection import connect
from rondel.client.http import ApiError
from rondel.errors import RondelError

GROUPS = {
    "trace": ("telemetry", "What happened: list, show, search, export."),
    "data": ("datasets", "Datasets: import, split, compare, from traces."),
    "prompt": ("prompts", "Prompts: versions, labels, differences."),
    "train": ("training", "Better candidates: fine-tuning, chosen examples."),
    "eval": ("evaluation", "Evaluations: run, show, compare."),
    "run": ("experiments", "Runs: what was tried, with which code, data and settings."),
    "job": ("jobs", "Durable work: list, show, cancel."),
    "model": ("registry", "Models: pull, import, lineage, compress."),
    "engine": ("serving", "Local engines: deployments and their health."),
    "release": ("releases", "Releases: gate, approve, canary, promote, roll back."),
    "gateway": ("gateway", "Routes, connections and keys of the gateway."),
    "price": ("spend.prices", "What models cost: list, show, set, reprice."),
    "secret": ("gateway.secrets", "Secrets of connections, kept encrypted: set, list, remove."),
    "monitor": ("monitoring", "Monitors and alerts."),
    "key": ("identity", "Keys and people: issue, list, revoke."),
    "team": ("identity:teams", "Teams: keys that share limits and budgets."),
    "budget": ("spend.budgets", "Budgets of keys, teams, end users and the project."),
    "audit": ("audit", "The audit log: list, verify, export."),
}
STACK = {
    "up": "Start everything on this machine.",
    "down": "Stop the stack of the data folder.",
    "status": "What is running, and whether it is well.",
    "doctor": "Look at this machine: what is missing, and what to do about it.",
    "open": "Open the console, signed in.",
}
EXIT_CODES = {
    "invalid_request": 2,
    "too_large": 2,
    "not_found": 3,
    "gate_refused": 4,
    "needs_approval": 5,
    "unavailable": 6,
    "timed_out": 6,
}
"""0 ok, 1 failure, 2 usage, 3 not found, 4 gate refused, 5 needs approval, 6 unreachable."""


def __getattr__(name: str) -> cyclopts.App:
    """A group by its name, imported at the moment it is asked for."""
    if name not in GROUPS:
        raise AttributeError(name)
    area, _, function = GROUPS[name][0].partition(":")
    return getattr(import_module(f"rondel.{area}.commands"), function or "group")(connect)


def build() -> cyclopts.App:
    """The command line; groups and the stack's commands are names until they are used."""
    app = cyclopts.App(
        name="rondel",
        help="LLMOps as a closed loop: serve, trace, evaluate, improve, release, watch.",
        version=lambda: version("rondel"),
        result_action="return_value",
        exit_on_error=False,
        print_error=True,
    )
    for name, help_ in STACK.items():
        app.command(f"rondel.cli.stack:{name}", name=name, help=help_)
    app.command("rondel.demo.command:demo", name="demo", help="Run the whole circle once on real input, narrated.")
    for name, (_area, help_) in GROUPS.items():
        app.command(f"rondel.cli.main:{name}", name=name, help=help_)
    return app


def main() -> None:
    """The entry point; every error becomes one sentence and an exit code."""
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: list[str]) -> int:
    """Run one command line and return its exit code; not called `run`, which is a group's name."""
    try:
        result = build()(arguments)
    except cyclopts.CycloptsError:
        return 2
    except ApiError as error:
        return _say(error.message, error.hint, EXIT_CODES.get(error.code, 1))
    except RondelError as error:
        return _say(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _say(message: str, hint: str | None, code: int) -> int:
    sys.stderr.write(f"rondel: {message}\n" + (f"        {hint}\n" if hint else ""))
    return code


if __name__ == "__main__":
    main()
