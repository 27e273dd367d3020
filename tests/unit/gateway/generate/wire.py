"""Answers as Google's servers send them.

Sources: https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thought-signatures,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference. Google's own client reads each
(`test_googles_client_reads_what_we_take_for_its_wire`).
"""

import json
from typing import Any

Response = dict[str, Any]

TOP: Response = {"modelVersion": "gemini-3-flash", "responseId": "r1"}


def _response(parts: list[Any], finish: str | None = None, **more: Any) -> Response:
    candidate: Response = {"content": {"parts": parts, "role": "model"}, "index": 0}
    return {"candidates": [{**candidate, **({"finishReason": finish} if finish else {})}], **more, **TOP}


USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "toolUsePromptTokenCount": 5,
    "totalTokenCount": 155,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 60},
        {"modality": "IMAGE", "tokenCount": 25},
        {"modality": "AUDIO", "tokenCount": 15},
    ],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 30}, {"modality": "AUDIO", "tokenCount": 10}],
}

TEXT = [
    _response([{"text": "Hello"}], usageMetadata={"trafficType": "ON_DEMAND"}),
    _response([{"text": ' "you" {there}\n'}], usageMetadata={"promptTokenCount": 100, "totalTokenCount": 100}),
    _response([{"text": "", "thoughtSignature": "c2lnMA=="}], "STOP", usageMetadata=USAGE),
]
CALLS = [
    _response([{"text": "Hm, ", "thought": True}]),
    _response([{"text": "Oslo.", "thought": True}]),
    _response(
        [
            {"functionCall": {"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}, "thoughtSignature": "c2lnMQ=="},
            {"functionCall": {"name": "weather", "args": {"city": "Rom"}}},
        ]
    ),
    _response([{"text": ""}], "STOP", usageMetadata=USAGE),
]
CANDIDATES: list[Response] = [
    {"candidates": [{"content": {"parts": [{"text": t}], "role": "model"}, "index": n}], **TOP}
    for n, t in ((0, "a"), (1, "b"), (0, "c"))
] + [{"candidates": [{"finishReason": "STOP", "index": 0}, {"finishReason": "MAX_TOKENS", "index": 1}], **TOP}]
IMAGE = [
    _response([{"text": "Here:"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}}]),
    _response([], "STOP", usageMetadata=USAGE),
]
BLOCKED: list[Response] = [
    {
        "promptFeedback": {
            "blockReason": "SAFETY",
            "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True}],
        },
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
        **TOP,
    }
]
WITH_LOGPROBS: Response = {
    "candidates": [
        {
            "content": {"parts": [{"text": "Hi"}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
            "avgLogprobs": -0.25,
            "logprobsResult": {
                "chosenCandidates": [{"token": "Hi", "tokenId": 3, "logProbability": -0.25}],
                "topCandidates": [{"candidates": [{"token": "Hi", "tokenId": 3, "logProbability": -0.25}]}],
            },
            "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
        }
    ],
    **TOP,
}
STREAMS = [TEXT, CALLS, CANDIDATES, IMAGE, BLOCKED]

ERROR: Response = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaMetric": "generativelanguage.googleapis.com/requests", "quotaValue": "10"}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"},
        ],
    }
}
"""Source: https://ai.google.dev/gemini-api/docs/troubleshooting"""
BAD_KEY: Response = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
        ],
    }
}


def as_events(responses: list[Response]) -> bytes:
    """A stream with `alt=sse`; Google ends lines with CR and LF."""
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(each).encode() for each in responses)


def as_array(responses: list[Response]) -> bytes:
    """A stream without it: indented, as Google writes it."""
    return b"[" + b"\n,\r\n".join(json.dumps(each, indent=2).encode() for each in responses) + b"\n]\n"
