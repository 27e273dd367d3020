"""Orders to forget kept answers, through real workers; and answers that machines share in a real Redis."""

import asyncio
import signal
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from rondel.gateway.models import CacheMode, CacheScope, CacheSettings, Snapshot
from rondel.gateway.purges.models import Purge
from rondel.gateway.purges.rules import mark_of_key, marks_of
from tests.integration.gateway.asking import ask, text_of
from tests.integration.gateway.cached import OTHER, asked_of, hit_soon, told
from tests.integration.gateway.gateway import Gateway, connection, key, release, route, target
from tests.integration.gateway.test_server_side import Server
from tests.integration.gateway.upstream import Behaviour, Line, Seen, Upstream, completion
from tests.redis_server import RedisServer

SAID = "hello there"


class Machine:
    """A data folder with its workers, and a server that hands them snapshots."""

    def __init__(self, folder: Path, upstream: Upstream, cache: CacheSettings, workers: int, redis: str) -> None:
        folder.mkdir()
        self.folder = folder
        first = Gateway(folder)
        first.write(
            keys=(key(), key(OTHER, id="key_other")),
            connections=(connection(upstream.port),),
            releases=(release("live", target()),),
            routes=(route("support", "live", cache=cache), route("sales", "live", cache=cache)),
        )
        self.workers = [first, *(Gateway(folder, snapshot=first.snapshot) for _ in range(workers - 1))]
        for number, worker in enumerate(self.workers):
            worker.environ["RONDEL_CACHE_DSN"] = redis
            worker.start("--worker", str(number))
        self.server = Server(folder)
        self.server.start()

    @property
    def snapshot(self) -> Snapshot:
        return self.workers[0].snapshot

    def take(self, snapshot: Snapshot) -> None:
        """Hand it to all workers."""
        for worker in self.workers:
            worker.snapshot = snapshot
        self.server.snapshot, self.server.version = msgspec.json.encode(snapshot), snapshot.version

    def metric(self, name: str) -> dict[str, float]:
        """The figures of one name, by the rest of the line."""
        body = httpx.get(f"http://127.0.0.1:{self.workers[0].port}/metrics").text
        lines = [line.removeprefix(name).rsplit(" ", 1) for line in body.splitlines() if line.startswith(name + "{")]
        return {labels: float(value) for labels, value in lines}

    def has_forgotten(self) -> bool:
        """Whether every worker has the newest snapshot and has carried out what it says."""
        version = float(self.snapshot.version)
        in_force = self.metric("rondel_gateway_snapshot_version")
        pending = self.metric("rondel_gateway_answers_purges_pending")
        return len(in_force) == len(self.workers) == len(pending) and (
            set(in_force.values()) == {version} and set(pending.values()) == {0.0}
        )

    def holds(self, text: str) -> bool:
        """Whether a text stands in a file of the cache."""
        files = (path for path in (self.folder / "run" / "answers").rglob("*") if path.is_file())
        return any(text.encode() in path.read_bytes() for path in files if path.stat().st_size < 64 * 1024**2)

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.server.stop()


class House:
    """Machines of one installation."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self._folder, self._upstream = folder, upstream
        self.machines: list[Machine] = []
        self.purges: dict[tuple[str, str], Purge] = {}

    def start(self, *, machines: int = 1, workers: int = 2, redis: str = "", **settings: object) -> None:
        """Run them with a cache on two routes."""
        cache = CacheSettings(**settings)  # pyright: ignore[reportArgumentType]  test values
        for number in range(machines):
            self.machines.append(Machine(self._folder / f"m{number}", self._upstream, cache, workers, redis))

    @property
    def first(self) -> Gateway:
        """A worker."""
        return self.machines[0].workers[0]

    @property
    def last(self) -> Gateway:
        """Another one."""
        return self.machines[-1].workers[-1]

    def order(self, *, route: str = "", key_id: str = "") -> None:
        """Put an order to forget into the snapshot, as the server does."""
        token = f"pur_{time.monotonic_ns()}"
        purge = Purge(project_id="prj", environment="test", token=token, route=route, key_id=key_id)
        self.purges[route, key_id] = purge
        purges = tuple(self.purges.values())
        for machine in self.machines:
            old = machine.snapshot
            marks = {one.name: marks_of(purges, one.name) for one in old.routes}
            machine.take(
                msgspec.structs.replace(
                    old,
                    version=old.version + 1,
                    purges=purges,
                    routes=tuple(
                        msgspec.structs.replace(one, purged=marks[one.name].own, shared_purged=marks[one.name].shared)
                        for one in old.routes
                    ),
                    keys=tuple(msgspec.structs.replace(one, purged=mark_of_key(purges, one.id)) for one in old.keys),
                )
            )

    def forgets(self, *, route: str = "", key_id: str = "") -> float:
        """The same, until all workers have carried it out; the seconds that it took."""
        begun = time.monotonic()
        self.order(route=route, key_id=key_id)
        for machine in self.machines:
            assert self.first.wait_for(machine.has_forgotten), "".join(self.first.logs)
        return time.monotonic() - begun

    def stop(self) -> None:
        for machine in self.machines:
            machine.stop()


@pytest.fixture
def house(tmp_path: Path, upstream: Upstream) -> Generator[House]:
    made = House(tmp_path, upstream)
    yield made
    made.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Generator[RedisServer]:
    made = RedisServer(tmp_path)
    yield made
    made.stop()


def kept(worker: Gateway, *, by: str = "", **body: Any) -> bool:
    """Whether a request is answered from the cache, and asks nobody."""
    headers = {"x-rondel-cache": "only-if-cached"}
    if by:
        headers["authorization"] = f"Bearer {by}"
    return ask(worker, headers=headers, **body).status_code == 200


def held() -> tuple[threading.Event, Behaviour]:
    """A model that answers when the event is set."""
    event = threading.Event()

    async def behaviour(seen: Seen, line: Line) -> None:
        await asyncio.to_thread(event.wait, 20)
        await line.json(completion(f"echo: {seen.prompt}"))

    return event, behaviour


@pytest.mark.parametrize("scope", [CacheScope.KEY, CacheScope.PROJECT])
def test_what_was_kept_before_is_given_by_no_worker_within_a_second_and_is_not_on_the_disk(
    house: House, upstream: Upstream, scope: CacheScope
) -> None:
    house.start(scope=scope)
    ask(house.first)
    hit_soon(house.last, 20)
    assert house.machines[0].holds(SAID)
    took = house.forgets()
    assert [kept(house.first), kept(house.last)] == [False, False]
    assert not house.machines[0].holds(SAID)
    assert took < 2.0  # on a machine that is busy with tests
    assert asked_of(upstream) == 1
    assert told(ask(house.first)) == "miss"
    assert told(hit_soon(house.last, 20)) == "hit", "and they keep and share again"


def test_an_order_about_a_route_or_a_key_leaves_the_others_what_they_have(house: House) -> None:
    house.start()

    def there() -> list[bool]:
        whose = [(name, by) for name in ("support", "sales") for by in ("", OTHER)]
        return [kept(house.last, model=name, by=by) for name, by in whose]

    def fill() -> None:
        for name in ("support", "sales"):
            ask(house.first, model=name)
            ask(house.first, model=name, headers={"authorization": f"Bearer {OTHER}"})
        assert house.first.wait_for(lambda: all(there()))

    fill()
    house.forgets(route="support")
    assert there() == [False, False, True, True]
    fill()
    house.forgets(key_id="key_other")
    assert there() == [True, False, True, False]
    fill()
    house.forgets(key_id="key_other")
    assert there() == [True, False, True, False], "the second time as well"


def test_a_request_under_way_when_an_order_comes_is_not_kept_and_nobody_joins_it(
    house: House, upstream: Upstream
) -> None:
    event, behaviour = held()
    upstream.on("up-1", behaviour)
    house.start(workers=1)
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(ask, house.first)
        assert house.first.wait_for(lambda: asked_of(upstream) == 1)
        house.forgets()
        after = pool.submit(ask, house.first)
        assert house.first.wait_for(lambda: asked_of(upstream) == 2), "it asks for itself"
        event.set()
        assert [told(before.result()), told(after.result())] == ["miss", "miss"]
    house.forgets()
    with ThreadPoolExecutor(1) as pool:
        event.clear()
        before = pool.submit(ask, house.first, seed=1)
        assert house.first.wait_for(lambda: asked_of(upstream) == 3)
        house.forgets()
        event.set()
        before.result()
    time.sleep(0.3)
    assert not kept(house.first, seed=1)
    assert not house.machines[0].holds(SAID)


def test_what_an_older_snapshot_meant_is_not_near_any_more(house: House, upstream: Upstream) -> None:
    house.start(workers=1, mode=CacheMode.SEMANTIC, floor=0.9, check_share=0.0)

    def asks(text: str) -> str:
        return told(ask(house.first, messages=[{"role": "user", "content": text}]))

    first = "how do i reset my account password"
    near = (f"{first}{'.' * count}" for count in range(1, 200))
    asks(first)
    assert house.first.wait_for(lambda: asks(next(near)) == "semantic", 20)
    house.forgets()
    assert not house.machines[0].holds(first)
    assert asks(next(near)) == "miss"
    assert house.first.wait_for(lambda: asks(next(near)) == "semantic", 20), "and it learns anew"
    assert asked_of(upstream) >= 2


def test_a_worker_that_is_killed_before_it_could_forget_does_so_when_it_starts(house: House) -> None:
    house.start(workers=1)
    ask(house.first)
    hit_soon(house.first, 20)
    machine = house.machines[0]
    house.first.kill()
    house.order()
    (machine.folder / "run" / "snapshot.json").write_bytes(machine.server.snapshot)
    house.first.start()
    assert not kept(house.first)
    assert house.first.wait_for(lambda: not machine.holds(SAID))


def test_what_is_kept_is_told(house: House) -> None:
    house.start()
    for seed in range(3):
        ask(house.first, seed=seed)
    hit_soon(house.first, seed=2)
    name = 'project="prj",environment="test",route="support"'

    def shown() -> list[float]:
        figures = house.machines[0].metric("rondel_gateway_answers_kept")
        return [value for labels, value in figures.items() if name in labels]

    assert house.first.wait_for(lambda: shown() == [3, 3])
    house.forgets()
    assert house.first.wait_for(lambda: shown() == [0, 0])
    figures = house.machines[0].metric("rondel_gateway_cache_total")
    assert any(name in labels and 'outcome="hit"' in labels for labels in figures)


# Machines


def test_machines_share_answers_of_the_same_request(house: House, upstream: Upstream, redis: RedisServer) -> None:
    house.start(machines=2, workers=1, redis=redis.dsn)
    ask(house.first)
    answer = hit_soon(house.last, 20)
    assert text_of(answer) == f"echo: {SAID}"
    assert int(answer.headers["age"]) <= 10
    assert asked_of(upstream) == 1
    redis.client.flushall()
    assert kept(house.last), "it has one of its own now"
    assert told(ask(house.last, stream=True)) == "hit"
    assert 'outcome="hit"' in "".join(house.machines[1].metric("rondel_gateway_answers_shared_total"))
    assert told(ask(house.last, headers={"authorization": f"Bearer {OTHER}"})) == "miss", "of no other key"


@pytest.mark.parametrize("stop", ["gone", "hanging"])
def test_a_redis_that_is_gone_or_hangs_fails_no_request_and_delays_none_for_long(
    house: House, redis: RedisServer, stop: str
) -> None:
    house.start(machines=1, workers=1, redis=redis.dsn)
    ask(house.first)
    assert house.first.wait_for(lambda: bool(redis.client.keys("{rondel}:answers:a:*")))
    redis.stop() if stop == "gone" else redis.process.send_signal(signal.SIGSTOP)
    for seed in range(60):
        assert ask(house.first, seed=seed).status_code == 200
    assert house.first.wait_for(lambda: len(house.first.records()) == 61)
    took = sorted((one.ended_ns - one.started_ns) / 1e9 for one in house.first.records()[1:])
    assert took[30] < 0.03, "only one in a while waits at all"
    assert took[57] < 0.3, "and not for long"
    assert told(hit_soon(house.first, seed=59)) == "hit", "this machine keeps on"
    figures = house.machines[0].metric("rondel_gateway_answers_shared_total")
    word = "failed" if stop == "gone" else "late"
    assert any(f'outcome="{word}"' in labels for labels in figures)
    assert any('outcome="down"' in labels for labels in figures)
    redis.start() if stop == "gone" else redis.process.send_signal(signal.SIGCONT)
    seeds = iter(range(100, 1000))

    def is_shared() -> bool:
        ask(house.first, seed=next(seeds))
        return bool(redis.client.keys("{rondel}:answers:a:*")) and any(
            'outcome="miss"' in labels and value > 1
            for labels, value in house.machines[0].metric("rondel_gateway_answers_shared_total").items()
        )

    assert house.first.wait_for(is_shared), "and it is asked again when it answers"


def test_an_order_reaches_every_machine_and_redis_and_leaves_nothing(
    house: House, upstream: Upstream, redis: RedisServer
) -> None:
    house.start(machines=2, workers=1, redis=redis.dsn)
    for worker in (house.first, house.last):
        ask(worker)
        hit_soon(worker, 20)
    assert SAID.encode() in redis.content()
    house.forgets()
    assert [kept(worker) for worker in (house.first, house.last)] == [False, False]
    assert SAID.encode() not in redis.content()
    assert not any(machine.holds(SAID) for machine in house.machines)
    before = asked_of(upstream)
    ask(house.last)
    hit_soon(house.first, 20)
    assert asked_of(upstream) == before + 1, "and they share again"


def test_an_order_while_redis_is_down_is_carried_out_when_it_answers(house: House, redis: RedisServer) -> None:
    house.start(machines=1, workers=1, redis=redis.dsn)
    ask(house.first)
    hit_soon(house.first, 20)
    assert house.first.wait_for(lambda: SAID.encode() in redis.content())
    redis.process.send_signal(signal.SIGSTOP)
    house.order()
    machine = house.machines[0]
    pending = "rondel_gateway_answers_purges_pending"
    assert house.first.wait_for(lambda: set(machine.metric(pending).values()) == {1.0})
    assert not kept(house.first), "nothing of it is given meanwhile"
    redis.process.send_signal(signal.SIGCONT)
    assert house.first.wait_for(machine.has_forgotten)
    assert SAID.encode() not in redis.content()
    assert not machine.holds(SAID)
