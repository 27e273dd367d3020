"""The gateway's part of `docs/benchmarks.md`, made of the kept results: `python -m benchmarks.gateway.page`."""

import sys
from collections.abc import Sequence

from benchmarks.gateway.figures import TABLES, Table
from benchmarks.gateway.results import FIRST, Results, Told, ordered, read
from benchmarks.gateway.stage import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- gateway: made by python -m benchmarks.gateway.page -->", "<!-- /gateway -->"
PEERS_BEGIN, PEERS_END = "<!-- peers: made by python -m benchmarks.gateway.page -->", "<!-- /peers -->"
WHO = {
    "nginx": "nginx",
    "bare": "ours, a key and a route",
    "mock": "ours, all but payloads",
    "recorded": "ours, payloads kept",
    "tls_translated": "ours, TLS and translated",
}


def section(kept: Results) -> str:
    """All tables."""
    lines = [BEGIN, "## Gateway", "", *_method(kept)]
    for table in TABLES:
        if any(figure.name in kept.figures for figure in table.figures):
            lines += ["", f"### {table.title}", "", *_ratios(table, kept)]
    lines += _times(kept)
    for name, after in (
        ("memory", "the load without TLS"),
        ("memory_tls", "all of it, with 64 lines to a TLS upstream"),
    ):
        if each := kept.figures.get(name):
            lines += ["", f"Memory of a worker after {after}: {each.value:.0f} MB (goal {each.goal:g}, {_met(each)})."]
    return "\n".join([*lines, END])


def peers(kept: Results) -> str:
    """Other gateways."""
    told = f"""
{_ran_on(kept)}

All of them stand before the same upstream and bear the same load in the same run, one after the other in each of
{kept.rounds} rounds: requests over 8 connections, 8 streams of 100 pieces, and one request at a time. Figures are
medians with intervals that hold the true one in {kept.coverage:.1%} of cases. CPU is that of all processes; ours
has limits, a budget, a price and a record of each request. Requests that were under way when a turn ended are in the
CPU time and not in the count: at most eight a turn. `make bench-gateway PEERS=1` installs and measures them.
"""
    ours = {name: f"{name} {kept.versions.get(name, '')}" for name in ("nginx", *kept.configurations)}
    rows = [
        [
            ours.get(name, f"Rondel {kept.versions['rondel']}"),
            f"{each.value:.1f} ({each.low:.1f} to {each.high:.1f})",
            f"{each.cpu_us:,.0f}",
            f"{1e6 / (each.cpu_us or 1):,.0f}",
            f"{kept.figures[f'pieces_{name}'].cpu_us:,.1f}",
            _milliseconds(kept.figures[f"added_p50_{name}"]),
            f"{kept.figures[f'memory_{name}'].value:.0f}",
        ]
        for name, each in ordered(kept.figures, "requests_")
    ]
    head = ["", "CPU a request, x nginx", "µs", "requests/s of a core", "µs a piece of a stream", "added p50, ms", "MB"]
    lines = [PEERS_BEGIN, "## Other gateways", "", *told.strip().splitlines(), "", *_table(head, rows), ""]
    lines += [f"- {name}: {how}." for name, how in kept.configurations.items()]
    lines += [f"- {name} is not here: {why}." for name, why in kept.absent.items()]
    return "\n".join([*lines, PEERS_END])


def _ran_on(kept: Results) -> str:
    machine = kept.machine
    versions = ", ".join(f"{name} {number}" for name, number in kept.versions.items())
    return (
        f"{machine['processor']}, {machine['cores']} cores shared by load, upstream and all that is measured;\n"
        f"{machine['platform']}, Python {machine['python']};\n{versions}."
    )


def _method(kept: Results) -> list[str]:
    lines = f"""
{_ran_on(kept)}

CPU is that of one worker process, in the program and in the kernel, from `/proc/PID/task/*/schedstat`; load and
upstream are not in it. 1,000,000 divided by the microseconds are the requests a second of one core. nginx relays the
same bytes to the same upstream, with one worker and without buffering. Each figure is the median of {kept.rounds}
rounds, in which all take turns; behind it stands its interval by order statistics, which holds the true median in
{kept.coverage:.1%} of cases. Requests come over 64 connections, streams are 32 of 200 pieces, sent as fast as they are
taken. `make bench-gateway` makes this part of the page.
"""
    return lines.strip().splitlines()


def _ratios(table: Table, kept: Results) -> list[str]:
    rows = [
        [
            figure.title,
            f"{each.value:.2f} {figure.unit}",
            f"{each.low:.2f} to {each.high:.2f}",
            f"{each.cpu_us:.1f}",
            f"{each.against_us:.1f}",
            _goal(each),
        ]
        for figure in table.figures
        if (each := kept.figures.get(figure.name)) is not None
    ]
    return _table([table.what, "CPU", "", "µs", "µs of what it is held against", "goal"], rows)


def _times(kept: Results) -> list[str]:
    added = [[WHO[name], _milliseconds(each), _goal(each)] for name, each in ordered(kept.figures, "added_p50_")]
    first = [
        ["direct" if name == "direct" else FIRST[name], _milliseconds(each)]
        for name, each in ordered(kept.figures, "first_piece_")
        if name != "held"
    ]
    lines: list[str] = []
    if added:
        head = ["one connection, one request at a time", "added p50, ms", "goal"]
        lines += ["", "### Time", "", *_table(head, added)]
    if first:
        head = ["32 streams, a piece every 100 ms", "first piece under way, p50, ms"]
        held = kept.figures["first_piece_held"]
        lines += ["", *_table(head, first)]
        lines += [
            "",
            f"First pieces of ours that came after the second was sent: {held.value:g} (goal 0, {_met(held)}).",
        ]
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _milliseconds(each: Told) -> str:
    return f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})"


def _goal(each: Told) -> str:
    return "" if each.goal is None else f"{each.goal:g}, {_met(each)}"


def _met(each: Told) -> str:
    return "met" if each.met else "not met"


def put(text: str, part: str, begin: str, end: str) -> str:
    """A page with this part in the place of the one between the same marks, or behind all."""
    name = begin.partition(":")[0]
    before, _, rest = text.partition(f"{name}:")
    after = rest.partition(end)[2].lstrip()
    return f"{before.rstrip()}\n\n{part}\n" + (f"\n{after}" if after else "")


def page(text: str) -> str:
    """The page as the kept results have it."""
    if (kept := read("gateway")) is not None:
        text = put(text, section(kept), BEGIN, END)
    if (kept := read("gateway_peers")) is not None:
        text = put(text, peers(kept), PEERS_BEGIN, PEERS_END)
    return text


def main() -> int:
    """Write it."""
    PAGE.write_text(page(PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
