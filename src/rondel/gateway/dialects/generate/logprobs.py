"""Log probabilities of tokens, as Gemini tells them and as OpenAI does.

Source: https://ai.google.dev/api/generate-content#LogprobsResult
"""

from typing import Any

from rondel.gateway.dialects.generate.words import is_list, is_object


def openai_logprobs(told: Any) -> dict[str, Any] | None:
    """A `logprobsResult` as `{"content": [...]}`; None when there is none."""
    chosen = told.get("chosenCandidates") if is_object(told) else None
    if not is_list(chosen):
        return None
    top = told.get("topCandidates")
    others = top if is_list(top) else []
    content: list[dict[str, Any]] = []
    for position, token in enumerate(chosen):
        listed = others[position].get("candidates") if position < len(others) and is_object(others[position]) else None
        alternatives = [_openai(each) for each in listed] if is_list(listed) else []
        content.append({**_openai(token), "top_logprobs": alternatives})
    return {"content": content}


def _openai(token: Any) -> dict[str, Any]:
    told = token if is_object(token) else {}
    text = str(told.get("token", ""))
    return {"token": text, "logprob": told.get("logProbability"), "bytes": list(text.encode())}


def logprobs_result(told: Any) -> dict[str, Any] | None:
    """OpenAI's `logprobs` as a `logprobsResult`; None when there are none."""
    content = told.get("content") if is_object(told) else None
    if not is_list(content):
        return None
    tokens = [token for token in content if is_object(token)]
    return {
        "chosenCandidates": [_gemini(token) for token in tokens],
        "topCandidates": [
            {"candidates": [_gemini(each) for each in listed if is_object(each)]}
            for token in tokens
            if is_list(listed := token.get("top_logprobs"))
        ],
    }


def _gemini(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}
