"""What the reconciler does next with a deployment, decided from values; names; threads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rondel.errors import Conflict, Invalid
from rondel.serving.models import MOVES, AdapterRef, Deployment, DeploymentState, EngineSettings, Wanted

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
START_TIMEOUT_S = 120.0
STEADY_S = 30.0
"""A process that has answered for this long makes earlier failures forgotten."""

HEALTH_EVERY_S = 2.0
MISSED_CHECKS = 5
"""So many failed checks in a row, and a process that runs but does not answer is replaced."""


class Step(StrEnum):
    """What is to be done now."""

    NOTHING = "nothing"
    START = "start"
    """Start a process."""
    SUCCEED = "succeed"
    """Let the started process take over; the one before it ends."""
    GIVE_UP_START = "give_up_start"
    """End the started process, which did not come up, and wait."""
    REPLACE = "replace"
    """The serving process is gone or silent: end what is left of it, and wait."""
    STOP = "stop"
    """End everything."""


@dataclass(frozen=True, slots=True)
class Process:
    """A child process as the reconciler sees it now. `answered_s` ago it became healthy; None: not yet."""

    generation: int
    is_alive: bool
    is_healthy: bool
    age_s: float
    answered_s: float | None = None
    missed_checks: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do and why; the reason is the sentence that operators read."""

    step: Step
    reason: str


def back_off_s(failures: int) -> float:
    """How long to wait after `failures` starts in a row that did not last: 0.5, 1, 2 ... 30 s; 0 before the first."""
    if failures <= 0:
        return 0.0
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 16))


def judge(
    deployment: Deployment,
    serving: Process | None,
    coming: Process | None,
    *,
    failures: int = 0,
    since_failure_s: float = float("inf"),
) -> Verdict:
    """The next step. `serving` is the process that answers now, `coming` the one that shall take over.

    A changed deployment is replaced by a rolling restart: the successor starts beside the serving process and takes
    over when it is healthy, so that no request finds nobody. `failures` in a row were seen, the last one
    `since_failure_s` ago.
    """
    if deployment.wanted is Wanted.STOPPED:
        if serving or coming:
            return Verdict(Step.STOP, "Stopped as wanted.")
        return Verdict(Step.NOTHING, "Stopped as wanted.")
    if coming is not None:
        return _judge_coming(deployment, coming)
    if serving is not None and not serving.is_alive:
        return Verdict(Step.REPLACE, "Its process ended.")
    if serving is not None and serving.missed_checks >= MISSED_CHECKS:
        return Verdict(Step.REPLACE, f"Its process did not answer {serving.missed_checks} checks in a row.")
    if serving is not None and serving.generation == deployment.generation:
        return Verdict(Step.NOTHING, "It answers.")
    wait = back_off_s(failures)
    if since_failure_s < wait:
        return Verdict(Step.NOTHING, f"Waits {wait:g} s after {_times(failures)}.")
    if serving is not None:
        return Verdict(Step.START, "It was changed: a successor starts beside the process that answers.")
    return Verdict(Step.START, "It is wanted and nothing runs.")


def _judge_coming(deployment: Deployment, coming: Process) -> Verdict:
    if not coming.is_alive:
        return Verdict(Step.GIVE_UP_START, "Its process ended before it answered.")
    if coming.generation != deployment.generation:
        return Verdict(Step.GIVE_UP_START, "It was changed again while it started.")
    if coming.is_healthy:
        return Verdict(Step.SUCCEED, "It answers.")
    if coming.age_s > START_TIMEOUT_S:
        return Verdict(Step.GIVE_UP_START, f"It did not answer within {START_TIMEOUT_S:.0f} s of its start.")
    return Verdict(Step.NOTHING, "It starts.")


def check_move(before: DeploymentState, after: DeploymentState) -> None:
    """Refuse a state that cannot follow.

    Raises:
        Conflict: the table of moves does not have it.
    """
    if before is not after and after not in MOVES[before]:
        raise Conflict(f"A deployment that is {before.value!r} cannot become {after.value!r}.")


def check_name(name: str) -> None:
    """Refuse a name that requests could not use.

    Raises:
        Invalid: it is empty, too long, or holds other characters.
    """
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is no deployment name: up to 63 lower-case letters, digits, '.', '_' and '-', beginning with a "
            "letter or digit, such as 'smollm2'."
        )


def check_settings(settings: EngineSettings) -> None:
    """Refuse sizes that no machine has.

    Raises:
        Invalid: a number is out of its range; the sentence says which.
    """
    ranges = {
        "slots": (settings.slots, 1, 256),
        "context_tokens": (settings.context_tokens, 256, 1_048_576),
        "threads": (settings.threads, 0, 1024),
        "prompt_cache_mib": (settings.prompt_cache_mib, 0, 1_048_576),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise Invalid(f"Setting {name!r} of a deployment is from {least} to {most}, not {value}.")


def check_adapters(adapters: Sequence[AdapterRef]) -> None:
    """Refuse adapters that could not be told apart.

    Raises:
        Conflict: two have the same name.
    """
    names = [adapter.name for adapter in adapters]
    for name in names:
        check_name(name)
        if names.count(name) > 1:
            raise Conflict(f"Two adapters of a deployment are called {name!r}.")


def threads_for(configured: int, cores: int) -> int:
    """Threads of an engine: as configured, else the cores there are; of three and more, one is left to the gateway."""
    return configured if configured > 0 else cores if cores <= 2 else cores - 1


def _times(failures: int) -> str:
    return "a failed start" if failures == 1 else f"{failures} failed starts in a row"
