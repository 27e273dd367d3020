"""Data for rendering: a shop's support traffic, written by hand, and the same with hostile and very long text."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from rondel.governance.models import (
    Approval,
    ApprovalVerdict,
    Bound,
    Check,
    CheckState,
    Decision,
    GateVerdict,
    Requirement,
)
from rondel.money import NANO
from rondel.releases.models import (
    Choice,
    Component,
    ComponentKind,
    Limits,
    Look,
    Measure,
    ModelCall,
    Move,
    Plan,
    Release,
    Role,
    Rollout,
    RolloutState,
    Stage,
    State,
    Unit,
    Verdict,
)
from rondel.releases.pages import LossLine, ReleaseFacts, RibbonStep
from rondel.telemetry.models import (
    Cost,
    Document,
    Entry,
    Facet,
    FacetValue,
    HistogramBucket,
    Page,
    Score,
    Span,
    SpanError,
    SpanKind,
    SpanMessage,
    Status,
    Summary,
    Tokens,
    Tool,
    ToolCall,
    Trace,
    TraceRow,
)
from rondel.web.loop import Course, Goal, LoopPage, LoopStage, Need
from rondel.web.shell import LiveRelease, Shell, with_counts

T = TypeVar("T")
NOW = datetime(2026, 11, 23, 14, 32, 8, tzinfo=UTC)
HOSTILE = (
    "<script>alert('x')</script> __proto__ constructor \"'><img src=x onerror=alert(1)> {{ 7*7 }} \u202egnp.exe\x00"
)
LONG = "A sentence that does not end and goes on without a breath " * 400 + "W" * 3000
NAMES = {"rel_14": "support-v14", "rel_15": "support-v15"}
SYSTEM = (
    "You are the support assistant of Meridian Outdoor. Answer from the policy documents, cite them as [n], never "
    "promise a date you were not given."
)
QUESTIONS = (
    (
        "support.answer",
        "My parcel says delivered but it is not here. What now?",
        "I'm sorry about that. I've opened a trace.",
    ),
    (
        "agent.refund",
        "I was charged twice for the same order, please fix it.",
        "I found two captures for order #81553.",
    ),
    ("rag.policy", "Do you ship lithium batteries to Norway?", "Yes, by ground only, and only when installed [1]."),
    ("support.answer", "Where do I find my invoice?", "Under Account, Orders, Documents."),
    (
        "classify.intent",
        "hey it still doesnt work after the update!!",
        '{"intent": "technical_issue", "urgency": "high"}',
    ),
)
MODELS = ("qwen3-8b-support", "qwen3-8b-support", "qwen3-8b-support", "gpt-5-mini", "claude-haiku-4.5")


def shell(title: str, current: str = "", **changed: object) -> Shell:
    """What stands around a sample page."""
    live = LiveRelease("support-v15", "canary", 0.2, "20 % of traffic, quality +0.02", "/releases/rel_15")
    nav = with_counts({"Monitors": 1})
    found = Shell(title, current or title, "Meridian support", "production", "M. Okafor", nav, live)
    return found if not changed else Shell(**{**{name: getattr(found, name) for name in found.__slots__}, **changed})  # type: ignore[arg-type]  test data


def trace_rows(count: int = 50) -> tuple[TraceRow, ...]:
    """A page of rows, newest first."""
    chance, age = random.Random(7), 9.0
    found: list[TraceRow] = []
    for index in range(count):
        route, question, answer = chance.choice(QUESTIONS)
        failed, canary = chance.random() < 0.07, chance.random() < 0.2
        latency = chance.choice([20, 420, 940, 1100, 1590, 2280, 2600, 2990, 3710, 5010]) * chance.uniform(0.9, 1.1)
        found.append(
            TraceRow(
                trace_id=f"{index:032x}",
                at=NOW - timedelta(seconds=age),
                name=route,
                status=Status.ERROR if failed else Status.OK,
                latency_ms=latency,
                route=route,
                release_id="rel_15" if canary else "rel_14",
                arm="canary" if canary else "live",
                model=chance.choice(MODELS),
                input_text=question,
                output_text="" if failed else answer,
                ttft_ms=latency * chance.uniform(0.08, 0.3),
                tokens=chance.randint(700, 7000),
                cost_nano=chance.randint(60_000, 5_000_000),
                quality=None if failed else chance.uniform(0.4, 1),
                feedback=chance.choice([None, None, None, "up", "up", "down"]),
            )
        )
        age += chance.expovariate(1 / 30)
    return tuple(found)


def rows_page(rows: Sequence[TraceRow] | None = None) -> Page[TraceRow]:
    """A page of the list with more behind it."""
    return Page(tuple(trace_rows() if rows is None else rows), "next")


FACETS = (
    Facet("status", (FacetValue("ok", 85), FacetValue("error", 5))),
    Facet("release", (FacetValue("rel_14", 72), FacetValue("rel_15", 18))),
    Facet(
        "route",
        (
            FacetValue("rag.policy", 25),
            FacetValue("support.answer", 24),
            FacetValue("agent.refund", 21),
            FacetValue("classify.intent", 13),
            FacetValue("extract.invoice", 7),
        ),
    ),
    Facet(
        "model", (FacetValue("qwen3-8b-support", 68), FacetValue("claude-haiku-4.5", 11), FacetValue("gpt-5-mini", 11))
    ),
    Facet("feedback", (FacetValue("up", 13), FacetValue("down", 6))),
)
SUMMARY = Summary(90, 5, 2010.0, 5710.0, 0.861, 51_200_000, 0, 240_000)
NO_SUMMARY = Summary(0, 0, None, None, None, None, 0, 0)


def histogram() -> tuple[HistogramBucket, ...]:
    """An hour in sixty bars."""
    chance, width = random.Random(3), timedelta(minutes=1)
    return tuple(
        HistogramBucket(
            NOW - timedelta(minutes=60 - index),
            width,
            chance.choice([0, 0, 1, 1, 2, 3, 4]),
            int(chance.random() < 0.08),
        )
        for index in range(60)
    )


def _span(
    index: int, parent: int | None, name: str, kind: SpanKind, start: float, length: float, **more: object
) -> Span:
    begin = NOW + timedelta(milliseconds=start)
    values: dict[str, object] = {
        "trace_id": "d9144fb82acd" + "0" * 20,
        "span_id": f"{index:016x}",
        "parent_id": "" if parent is None else f"{parent:016x}",
        "name": name,
        "kind": kind,
        "start": begin,
        "end": begin + timedelta(milliseconds=length),
        **more,
    }
    return Span(**values)  # pyright: ignore[reportArgumentType]  test data by name


def _call(
    index: int, parent: int, start: float, length: float, wait: float, tokens: Tokens, *said: SpanMessage
) -> Span:
    asked = (
        SpanMessage("system", SYSTEM),
        SpanMessage("user", "I was charged twice for the same order, please fix it."),
    )
    return _span(
        index,
        parent,
        "chat qwen3-8b-support",
        SpanKind.LLM,
        start,
        length,
        ttft_ms=wait,
        tokens=tokens,
        model="qwen3-8b-support",
        cost=Cost(computed_nano=90_000),
        messages_in=asked,
        messages_out=said,
        parameters={"temperature": 0.2},
        attributes={"gen_ai.operation.name": "chat", "server.address": "127.0.0.1"},
    )


def agent_trace(*, text: str = "", failed: bool = False) -> Trace:
    """A refund by an agent: 19 spans. `text` replaces what was said; `failed` lets a tool fail."""
    refund = SpanMessage("assistant", "", tool_calls=(ToolCall("c1", "get_order", '{"order_id": 77120}'),))
    answer = SpanMessage(
        "assistant", text or "I found two captures for order #81553 and have voided the second one (€42.50)."
    )
    kind = SpanKind
    spans = [
        _span(
            0,
            None,
            "POST /v1/chat/completions · agent.refund",
            kind.GATEWAY,
            0,
            5090,
            entry=Entry.ROOT,
            route="agent.refund",
        ),
        _span(1, 0, "auth + budget key_eu_web", kind.SPAN, 0.3, 1),
        _span(2, 0, "guardrail.in pii, injection", kind.GUARDRAIL, 2, 11, attributes={"guardrail.pii.entities": 0}),
        _span(3, 0, "cache.lookup semantic", kind.CACHE, 13, 4),
        _span(
            4,
            0,
            "retrieve policy-index@2026-11-18",
            kind.RETRIEVER,
            17,
            56,
            documents=(
                Document(
                    "returns.md#damaged", text or "Items damaged in transit are refunded without a return label.", 0.91
                ),
            ),
        ),
        _span(5, 4, "embed bge-small", kind.EMBEDDING, 17, 9),
        _span(6, 4, "vector.search k=20", kind.RETRIEVER, 26, 13),
        _span(7, 4, "rerank top 4", kind.RERANKER, 39, 34),
        _span(8, 0, "agent refund-agent@v9", kind.AGENT, 70, 5010),
    ]
    start, names = 74.0, ("get_order", "check_policy", "issue_refund", "send_email")
    for position, (name, length, wait, tool_ms) in enumerate(
        zip(names, (872, 894, 557, 881), (440, 380, 160, 300), (46, 172, 300, 259), strict=True)
    ):
        spans.append(
            _call(9 + 2 * position, 8, start, length, wait, Tokens(input_uncached=900, output_text=34), refund)
        )
        start += length
        broken = failed and name == "issue_refund"
        spans.append(
            _span(
                10 + 2 * position,
                8,
                f"tool {name}",
                kind.TOOL,
                start,
                tool_ms,
                status=Status.ERROR if broken else Status.OK,
                error=SpanError("UpstreamTimeout", text or "No answer in 300 ms", "Traceback: " + text)
                if broken
                else None,
                tool=Tool(name, "c1", '{"order_id": 77120}', '{"order": 77120, "total": 189.0}'),
            )
        )
        start += tool_ms
    spans.append(_call(17, 8, start, 1020, 207, Tokens(input_uncached=1000, cache_read=429, output_text=49), answer))
    spans.append(_span(18, 0, "guardrail.out grounding, tone", kind.GUARDRAIL, 5080, 10))
    row = TraceRow(
        trace_id="d9144fb82acd" + "0" * 20,
        at=NOW,
        name="agent.refund",
        status=Status.ERROR if failed else Status.OK,
        latency_ms=5090,
        route=text[:200] or "agent.refund",
        release_id="rel_15",
        arm="canary",
        model="qwen3-8b-support",
        ttft_ms=443,
        tokens=5994,
        cost_nano=380_000,
        session=text[:100] or "ae6a861d",
        user=text[:100] or "u_5521",
        span_count=len(spans),
    )
    return Trace(row, tuple(spans), (Score("Groundedness", 0.96, comment=text),))


def plain_span(trace_id: str, at: datetime, **more: object) -> Span:
    """A trace of one span."""
    return replace(
        _span(0, None, "POST /v1/chat/completions", SpanKind.GATEWAY, 0, 80, **more),
        trace_id=trace_id,
        start=at,
        end=at + timedelta(milliseconds=80),
        route="support.answer",
        input_text="one more",
    )


def moved(span: Span, shift: timedelta) -> Span:
    """The same span at another time."""
    return replace(span, start=span.start + shift, end=span.end + shift)


def long_trace(count: int) -> Trace:
    """An agent that took very many steps."""
    spans = [_span(0, None, "POST /v1/chat/completions", SpanKind.GATEWAY, 0, count * 10, entry=Entry.ROOT)]
    spans += [
        _span(
            i,
            (i - 1) // 10 * 10,
            f"tool call_{i}" if i % 10 else f"agent step-{i}",
            SpanKind.TOOL if i % 10 else SpanKind.AGENT,
            i * 10,
            9,
        )
        for i in range(1, count)
    ]
    return Trace(TraceRow("b" * 32, NOW, "agent.refund", Status.OK, count * 10.0, route="agent.refund"), tuple(spans))


RIBBON = (
    RibbonStep("dataset", "support-golden", "v31", "4,210 rows, 212 from traces", "/datasets/support-golden"),
    RibbonStep("commit", "a41f9c2", "", "config/train.yaml, seed 7", ""),
    RibbonStep("adapter", "lora-r16", "run 0193", "on qwen3-8b, 1 h 42 m", "/models/lora-r16"),
    RibbonStep("evaluation", "Gate passed", "41/41", "faithfulness 0.91 ≥ 0.88", "/releases/rel_15"),
    RibbonStep("approval", "M. Okafor", "19 Nov", "2 of 2 approvals", "/releases/rel_15"),
    RibbonStep("release", "support-v15", "canary 20 %", "prompt agent.refund@12", "/releases/rel_15"),
)


def _release(number: int, stage: Stage, text: str = "") -> Release:
    base = Component("model", ComponentKind.MODEL, "local/qwen3-8b", "d1")
    prompt = Component(
        "prompt",
        ComponentKind.PROMPT,
        f"support.answer@{number - 3}",
        f"p{number}",
        {
            "messages": [
                {
                    "role": "system",
                    "content": SYSTEM + (" Be brief.\nAsk for the order number once." if number > 14 else ""),
                }
            ]
        },
    )
    adapter = Component("adapter", ComponentKind.ADAPTER, f"lora-r16@{number}", f"a{number}")
    gate = GateVerdict(
        True,
        "41 of 41 checks passed",
        tuple(
            Check(Requirement(name, Bound.NO_WORSE, 0.02), state, text or f"{name} is as the policy wants it")
            for name, state in (
                ("quality.difference", CheckState.PASSED),
                ("data.leaked", CheckState.PASSED),
                ("schema.valid_share", CheckState.SKIPPED),
            )
        ),
        "g1",
    )
    return Release(
        f"rel_{number}",
        text or f"support-v{number}",
        "support.answer",
        "9f3c" * 16,
        (base, adapter, prompt),
        (ModelCall("answer", "model", "adapter", "prompt"),),
        stage,
        "per_1",
        text or "S. Lind",
        NOW - timedelta(days=4),
        NOW - timedelta(hours=5),
        note=text,
        gate=gate,
    )


def looks(count: int = 150, *, true_difference: float = 0.03, per_look: int = 6) -> list[Look]:
    """Looks at a canary with a normal-mixture sequence; a test's stand-in for the statistics of releases."""
    chance, total, seen, spread = random.Random(3), 0.0, 0, 0.16
    found: list[Look] = []
    for number in range(count):
        total += sum(chance.gauss(true_difference, spread) for _ in range(per_look))
        seen += per_look
        if seen < 24:
            continue
        half = spread * math.sqrt(
            2 * (seen * 0.06 + 1) / (seen * seen * 0.06) * math.log(math.sqrt(seen * 0.06 + 1) / 0.05)
        )
        mean = total / seen
        found.append(
            Look(
                f"look_{number}",
                "roll_1",
                number,
                NOW - timedelta(minutes=2 * (count - number)),
                0 if number < 40 else 1,
                seen,
                seen,
                seen * 4,
                seen,
                seen,
                mean,
                mean - half,
                mean + half,
                1.0,
                Choice.CONTINUE,
                "goes on",
                "r1",
            )
        )
    return found


def _measure(
    name: str,
    unit: Unit,
    live: float,
    canary: float,
    low: float,
    mid: float,
    high: float,
    limit: float | None,
    state: State,
) -> Measure:
    return Measure(name, unit, live, canary, mid, low, high, 900, limit, state, 0.1, f"{name}: {state.value}")


def release_facts(
    *, stage: Stage = Stage.CANARY, text: str = "", state: RolloutState = RolloutState.RUNNING
) -> ReleaseFacts:
    """support-v15 on its way; `text` replaces every word a person wrote."""
    release = _release(15, stage, text)
    seen = looks()
    plan = Plan((0.05, 0.2, 0.5), 1200, 0.2, 2400, "quality", Limits(0.02, 0.01, 0.1, 0.05))
    rollout = Rollout(
        "roll_1",
        "support.answer",
        "rel_15",
        "rel_14",
        Role.CANARY,
        1,
        "salt",
        plan,
        state,
        NOW - timedelta(days=2),
        NOW - timedelta(hours=5, minutes=12),
        reason=text,
    )
    last = seen[-1]
    measures = (
        _measure("Quality", Unit.SCORE, 0.861, 0.884, last.low, last.estimate, last.high, 0.02, State.BETTER),
        _measure("Errors", Unit.SHARE, 0.019, 0.022, -0.006, 0.003, 0.012, 0.01, State.WATCH),
        _measure("Latency, mean", Unit.MILLISECONDS, 4820, 4310, -0.19, -0.106, -0.02, 0.1, State.PASS),
        _measure("First token", Unit.MILLISECONDS, 241, 233, -0.09, -0.033, 0.03, None, State.SHOWN),
        _measure(
            "Cost per answer", Unit.NANO_USD, 0.00041 * NANO, 0.00033 * NANO, -0.24, -0.195, -0.15, 0.05, State.PASS
        ),
        _measure("Guardrail blocks", Unit.SHARE, 0.0031, 0.0028, 0.001, 0.004, 0.009, 0.0005, State.BROKEN),
    )
    moves = [
        Move(
            "m1",
            "rel_15",
            Stage.DRAFT,
            Stage.APPROVAL,
            text or "The gate is passed: 41 of 41 checks",
            "S. Lind",
            NOW - timedelta(days=4),
        ),
        Move(
            "m2",
            "rel_15",
            Stage.APPROVAL,
            Stage.SHADOW,
            text or "Approved by M. Okafor",
            "M. Okafor",
            NOW - timedelta(days=3),
        ),
        Move(
            "m3",
            "rel_15",
            Stage.SHADOW,
            Stage.CANARY,
            text or "Shadow passed: 2,400 copies answered",
            "Rondel",
            NOW - timedelta(days=2),
        ),
    ]
    return ReleaseFacts(
        release=release,
        moves=moves,
        baseline=_release(14, Stage.LIVE),
        rollout=rollout,
        looks=seen,
        verdict=Verdict(
            Choice.CONTINUE, text or "Goes on at 20 %, waits for 300 more canary answers", measures, 3600, 900
        ),
        approval=ApprovalVerdict(granted=True, reason="approved", by=(text or "M. Okafor", text or "S. Lind")),
        approvals=[
            Approval(
                "ap1",
                "rel_15",
                "g1",
                Decision.APPROVED,
                "per_2",
                text or "M. Okafor",
                NOW - timedelta(days=4),
                text or "Read the losses; fine.",
            )
        ],
        losses=[
            LossLine("a" * 32, text or question, answer, False, value, None)
            for (_, question, answer), value in zip(QUESTIONS, (0.11, 0.24, 0.38), strict=False)
        ],
    )


LOOP = LoopPage(
    stages=(
        LoopStage("dataset", "Datasets", "/datasets", "4,210", "rows, 212 new from traces", "support-golden v31", "ok"),
        LoopStage("prompt", "Prompts", "/prompts", "3", "changed this week", "support.answer@12", "ok"),
        LoopStage(
            "training", "Training", "/experiments?kind=training", "61 %", "38 min left", "run 0194, epoch 2 of 3", "run"
        ),
        LoopStage("experiment", "Experiments", "/experiments", "41/41", "checks passed", "gate for run 0193", "ok"),
        LoopStage("model", "Models", "/models", "2 of 2", "approvals given", "lora-r16 run 0193", "ok"),
        LoopStage("release", "Releases", "/releases", "20 %", "canary, quality +0.02", "support-v15", "run"),
        LoopStage("route", "Gateway", "/gateway", "26.4", "requests a second", "3 routes, 2 fallbacks", "ok"),
        LoopStage("trace", "Traces", "/traces", "1.9 %", "errors in the last hour", "2 monitors firing", "warn"),
    ),
    goals=(
        Goal("Quality", "0.86", "goal 0.85", False),
        Goal("Availability, 30 d", "99.94 %", "goal 99.9 %", False),
        Goal("p95 latency", "4.8 s", "goal 5 s", False),
        Goal("Cost per 1,000 answers", "$0.41", "budget 63 % used", False),
        Goal("Trace to release", "3 d 4 h", "was 6 d 2 h", True),
    ),
    needs=(
        Need("release", "support-v15 waits for a second approval", "gate passed 41 of 41", "Open", "/releases/rel_15"),
        Need(
            "monitor",
            "Intent drift on classify.intent",
            "permutation p 0.002, since 11:20",
            "Inspect",
            "/monitors/mon_1",
        ),
        Need(
            "audit",
            "Model card of lora-r16 lacks a data statement",
            "policy prod-release, due 30 Nov",
            "Write",
            "/models/lora-r16",
        ),
    ),
    changes=(
        Course("Fewer promised dates", "support-v15 canary", 6, False, "/releases/rel_15"),
        Course("Refund agent: fewer turns", "run 0194 training", 3, False, "/experiments/run_1"),
        Course("Distil judge to 1.7 B", "gate failing: agreement 0.81 < 0.85", 4, True, "/releases/rel_9"),
    ),
)


def changed(value: T, **other: object) -> T:
    """The same with other fields."""
    frozen: Any = value
    return cast("T", replace(frozen, **other))
