"""False hits of the semantic cache by its floor, on labelled questions.

`python -m benchmarks.cache.run --data FOLDER` wants `banking77/{train,test}.csv` (PolyAI, CC BY 4.0) and `snips/*.json`
(Sonos NLU benchmark, CC0) there. The first part of each set is kept, as if it had been asked; every question of the
other part is looked up, just as a worker does. A hit is right

- in banking77 where both questions have the same intent: the bank would give the same answer;
- in snips where intent and every named thing (the city, the song, the hour) are the same: else it is another request.

Precision is the share of hits that are right, with its 95 % interval (Wilson 1927, score interval); the hit rate is the
share of look-ups that hit.
"""

import argparse
import csv
import json
import platform
import random
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import count
from math import sqrt
from pathlib import Path
from typing import NamedTuple

from rondel.gateway.caching import Question, question_of
from rondel.gateway.dataplane.cache.ports import NEARNESS, RING, Row
from rondel.gateway.models import Operation
from rondel.gateway.rules import raw

FLOORS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.925, 0.95, 0.97, 0.98, 0.99)
OUT = Path(__file__).parents[1] / "results" / "cache.json"


class Said(NamedTuple):
    """A question, and what it asks for."""

    text: str
    meaning: str


class Line(NamedTuple):
    """What one floor comes to on one set."""

    data: str
    floor: float
    asked: int
    hits: int
    right: int


def banking(folder: Path, seed: int) -> tuple[list[Said], list[Said]]:
    """What was asked before, in an order by chance, and what is asked now."""
    parts: list[list[Said]] = []
    for part in ("train", "test"):
        with (folder / "banking77" / f"{part}.csv").open() as file:
            parts.append([Said(row["text"], row["category"]) for row in csv.DictReader(file)])
    random.Random(seed).shuffle(parts[0])
    return parts[0], parts[1]


def snips(folder: Path, seed: int) -> tuple[list[Said], list[Said]]:
    """All files, halved by chance."""
    found: list[Said] = []
    for path in sorted((folder / "snips").glob("*.json")):
        for intent, examples in json.loads(path.read_text(encoding="utf-8", errors="replace")).items():
            for example in examples:
                things = [(one["entity"], one["text"].strip().casefold()) for one in example["data"] if "entity" in one]
                text = "".join(one["text"] for one in example["data"]).strip()
                found.append(Said(text, json.dumps([intent, sorted(things)])))
    random.Random(seed).shuffle(found)
    return found[: len(found) // 2], found[len(found) // 2 :]


def measure(name: str, before: Sequence[Said], now: Sequence[Said]) -> Iterable[Line]:
    """Keep all of `before` (of which the newest of a group are compared), look up each of `now`."""
    nearness, numbers = NEARNESS.get("embedded")(), count(1)
    meaning_of: dict[bytes, str] = {}
    for said in before:
        question = _question(said.text)
        if vector := nearness.vector(question.text):
            meaning_of[question.key] = said.meaning
            nearness.learn(question.group, [Row(next(numbers).to_bytes(8), question.key, vector)])
    nearest: list[tuple[float, bool]] = []
    for said in now:
        question = _question(said.text)
        vector = nearness.vector(question.text)
        near = nearness.nearest(question.group, vector, min(FLOORS))[:1] if vector else []
        nearest += [(one.similarity, meaning_of[one.key] == said.meaning) for one in near]
    for floor in FLOORS:
        hits = [is_right for similarity, is_right in nearest if similarity >= floor]
        yield Line(name, floor, len(now), len(hits), sum(hits))


def _question(text: str) -> Question:
    fields = {"messages": raw([{"role": "user", "content": text}])}
    question = question_of(b"", (), Operation.CHAT, fields, {}, is_semantic=True)
    assert question is not None
    return question


def interval(right: int, hits: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not hits:
        return 0.0, 1.0
    z, share = 1.959964, right / hits
    middle, spread = share + z * z / (2 * hits), z * sqrt(share * (1 - share) / hits + z * z / (4 * hits * hits))
    return (middle - spread) / (1 + z * z / hits), (middle + spread) / (1 + z * z / hits)


def main() -> int:
    """Measure, print a table and write it down."""
    parser = argparse.ArgumentParser(prog="benchmarks.cache.run", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with banking77 and snips")
    parser.add_argument("--seed", type=int, default=7, help="of the order in which questions are kept")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    sets = {"banking77": banking(options.data, options.seed), "snips": snips(options.data, options.seed)}
    lines = [line for name, (before, now) in sets.items() for line in measure(name, before, now)]
    print(f"{'data':10} {'floor':>6} {'asked':>6} {'hits':>6} {'hit rate':>9} {'precision':>10}   95 % interval")
    for line in lines:
        low, high = interval(line.right, line.hits)
        share = f"{line.right / line.hits:10.3f}" if line.hits else f"{'':10}"
        rate, likely = line.hits / line.asked, f"{low:.3f} to {high:.3f}"
        print(f"{line.data:10} {line.floor:6.3f} {line.asked:6} {line.hits:6} {rate:9.3f} {share}   {likely}")
    machine = {"python": platform.python_version(), "wordllama": version("wordllama"), "ring": RING}
    told = {"machine": machine, "seed": options.seed, "lines": [line._asdict() for line in lines]}
    options.out.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
