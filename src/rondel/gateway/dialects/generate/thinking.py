"""How much a model thinks: OpenAI's effort, and Gemini's level (from 3 on) or budget of tokens (2.5).

Source: https://ai.google.dev/gemini-api/docs/openai#thinking
"""

from collections.abc import Mapping
from typing import Any

_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
_LEVELS = frozenset({"minimal", "low", "medium", "high", "xhigh"})
_BY_BUDGET = ("gemini-1", "gemini-2", "gemini-robotics")
"""How the names of models begin that take a budget and know no level."""


def takes_budget(model: str) -> bool:
    """Whether a model is older than the levels (and than the duty to sign function calls)."""
    return model.removeprefix("models/").startswith(_BY_BUDGET)


def effort_of(config: Mapping[str, Any]) -> str | None:
    """The effort nearest to a `thinkingConfig`; None when the model is to choose by itself."""
    level = config.get("thinkingLevel")
    if isinstance(level, str) and level.lower() in _LEVELS:
        return level.lower()
    budget = config.get("thinkingBudget")
    if not isinstance(budget, int) or budget < 0:
        return None
    for effort in ("none", "low", "medium"):
        if budget <= _BUDGETS[effort]:
            return effort
    return "high"


def config_of(effort: str, model: str) -> dict[str, Any] | None:
    """A `thinkingConfig`; thoughts are told, since OpenAI's chat has a place for them. None for an unknown effort.

    Models from 3 on cannot be kept from thinking: `none` is the least there.
    """
    if effort not in _BUDGETS:
        return None
    if takes_budget(model):
        return {"thinkingBudget": _BUDGETS[effort], **({"includeThoughts": True} if effort != "none" else {})}
    if effort == "none":
        return {"thinkingLevel": "MINIMAL"}
    return {"thinkingLevel": effort.upper(), "includeThoughts": True}
