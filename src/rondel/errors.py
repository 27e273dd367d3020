"""Every error that a person may read.

RondelError
├── Invalid          400  the input is wrong; the message says what, where, and what instead
│   └── TooLarge     413
├── Unauthorized     401
├── Forbidden        403
├── NotFound         404
├── Conflict         409
│   ├── GateRefused      409  the evidence does not meet the policy
│   └── NeedsApproval    409  a second identity has to agree first
├── LimitReached     429
├── UpstreamFailed   502
├── Unavailable      503
└── TimedOut         504

Anything else that is raised is a bug and becomes a 500.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class RondelError(Exception):
    """A sentence for the person who has to act: what happened, to what (`!r`), and what to do.

    `param` is the place in the request that it is about, such as `rules.0.when.hours`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param


class Invalid(RondelError):
    """The input cannot be taken as it is."""

    status = 400
    code = "invalid_request"
    exit_code = 2


class TooLarge(Invalid):
    """The input is over a stated limit."""

    status = 413
    code = "too_large"


class Unauthorized(RondelError):
    """No key, or a key that is not known."""

    status = 401
    code = "unauthorized"


class Forbidden(RondelError):
    """The key is known, and may not do this."""

    status = 403
    code = "forbidden"


class NotFound(RondelError):
    """Nothing has that name or id."""

    status = 404
    code = "not_found"
    exit_code = 3


class Conflict(RondelError):
    """The state of things does not allow it now."""

    status = 409
    code = "conflict"


class GateRefused(Conflict):
    """The evidence does not meet the policy."""

    code = "gate_refused"
    exit_code = 4


class NeedsApproval(Conflict):
    """A second identity has to agree first."""

    code = "needs_approval"
    exit_code = 5


class LimitReached(RondelError):
    """A rate limit or a budget is used up."""

    status = 429
    code = "limit_reached"


class UpstreamFailed(RondelError):
    """A provider or an engine answered wrongly."""

    status = 502
    code = "upstream_failed"


class Unavailable(RondelError):
    """Something this needs does not answer, is not installed, or is overloaded."""

    status = 503
    code = "unavailable"
    exit_code = 6


class TimedOut(RondelError):
    """No answer before the deadline."""

    status = 504
    code = "timed_out"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The second half of a not-found sentence: the nearest known name, else all that are known."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "There is none yet."
