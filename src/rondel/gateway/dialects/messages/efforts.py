"""How hard a model thinks: Anthropic's `thinking` and `output_config.effort`, and OpenAI's `reasoning_effort`.

Claude 4.6 and later decide themselves (`adaptive`) and are told an effort; earlier ones are given a budget of tokens.
Source: https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking; the shares of `max_tokens` are those of
https://openrouter.ai/docs/use-cases/reasoning-tokens.
"""

import re

import msgspec

from rondel.errors import Invalid
from rondel.gateway.models import Fields

_SHARES = (("minimal", 0.1), ("low", 0.2), ("medium", 0.5), ("high", 0.8), ("xhigh", 0.9), ("max", 0.95))
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
LEAST_BUDGET = 1024
MOST_BUDGET = 32_000
_FIRST_ADAPTIVE = (4, 6)
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


class _Thinking(msgspec.Struct):
    type: str = ""
    budget_tokens: int = 0


class _Output(msgspec.Struct):
    effort: str | None = None


_thinking = msgspec.json.Decoder(_Thinking)
_output = msgspec.json.Decoder(_Output)


def is_adaptive(model: str) -> bool:
    """Whether a model thinks as much as it finds good; one whose name tells no version is taken for a new one."""
    found = _VERSION.search(model)
    return found is None or (int(found[1]), int(found[2] or 0)) >= _FIRST_ADAPTIVE


def effort_of(fields: Fields, max_tokens: int | None) -> str:
    """What `thinking` and `output_config` come to as `reasoning_effort`; empty when they say nothing of it.

    Raises:
        Invalid: they have the wrong shape.
    """
    try:
        output = _output.decode(fields["output_config"]) if "output_config" in fields else _Output()
        thinking = _thinking.decode(fields["thinking"]) if "thinking" in fields else _Thinking()
    except msgspec.DecodeError as error:
        raise Invalid(f"The field 'thinking' or 'output_config' is wrong: {error}.") from error
    if output.effort:
        return output.effort
    if thinking.type != "enabled":
        return ""
    share = thinking.budget_tokens / max_tokens if max_tokens else 1.0
    return next((effort for effort, most in _SHARES[1:] if share <= most), "max")


def budget_of(effort: str, max_tokens: int) -> int | None:
    """Tokens to think with, of an answer of `max_tokens`; None when there is no room for thought."""
    share = dict(_SHARES)[effort]
    budget = min(max(int(max_tokens * share), LEAST_BUDGET), MOST_BUDGET)
    return budget if budget < max_tokens else None


def asked(effort: str, model: str, max_tokens: int, *, may_think: bool) -> dict[str, object]:
    """The fields that ask a model for an effort.

    `may_think` is False where a budget of thought would be refused: a tool is forced, or a turn in which tools were
    called comes back without its thoughts.

    Raises:
        Invalid: there is no such effort.
    """
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    if effort not in dict(_SHARES):
        known = ", ".join(name for name, _ in _SHARES)
        raise Invalid(f"The field 'reasoning_effort' is {effort!r}: give none, {known}.")
    if is_adaptive(model):
        told: dict[str, object] = {"output_config": {"effort": effort if effort in _EFFORTS else "low"}}
        return {"thinking": {"type": "adaptive"}, **told} if may_think else told
    budget = budget_of(effort, max_tokens) if may_think else None
    return {} if budget is None else {"thinking": {"type": "enabled", "budget_tokens": budget}}
