"""A worker's kept answers over shelves that do as the test says."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

from rondel.errors import Unavailable
from rondel.gateway.caching import (
    Kept,
    Order,
    Question,
    place_of,
)
from rondel.gateway.dataplane.cache.answers import Answers, knows
from rondel.gateway.dataplane.cache.figures import numbers_of
from rondel.gateway.dataplane.cache.memory import MemoryShelf
from rondel.gateway.dataplane.cache.others import Others
from rondel.gateway.dataplane.cache.ports import NEVER, Filed, Near, Nearness, Row
from rondel.gateway.models import CacheMode, CacheSettings, Route, Snapshot
from rondel.gateway.purges.models import Purge

ROUTE = Route(name="support", project_id="prj", environment="live", arms=(), cache=CacheSettings())
PLACE = place_of("prj", "live", "support")
QUESTION = Question(b"k" * 32, b"g" * 16, "how are you")


def snapshot(*, mode: CacheMode = CacheMode.EXACT, token: str = "", key_id: str = "") -> Snapshot:
    """One route; with a token after an order to forget its project's answers, or those of a key."""
    route = Route(
        name="support",
        project_id="prj",
        environment="live",
        arms=(),
        cache=CacheSettings(mode=mode),
        purged="" if key_id else token,
        shared_purged=token if key_id else "",
    )
    purge = Purge(project_id="prj", environment="live", token=token, key_id=key_id)
    return Snapshot(version=1, hash_key="", routes=(route,), purges=(purge,) if token else ())


def filed(number: int, *, size: int = 10, group: bytes = b"", purged: str = knows(ROUTE), keeper: bytes = b"") -> Filed:
    """An answer on its way."""
    kept = Kept(10**9, b"x" * size)
    return Filed(PLACE, number.to_bytes(32), kept, 10**8, 3600.0, group, b"", keeper or bytes(8), purged)


class Held(Nearness):
    """Knows nothing, and is busy for as long as the test says."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.forgot = 0
        self.texts: list[str] = []

    def vector(self, text: str) -> bytes:
        if text != "ready":
            assert self.free.wait(10)
            self.texts.append(text)
        return b"v" + text.encode()

    def last(self, group: bytes) -> bytes:  # noqa: ARG002  the port's signature
        return b""

    def learn(self, group: bytes, rows: Sequence[Row]) -> None:
        """Nothing."""

    def nearest(self, group: bytes, vector: bytes, floor: float) -> list[Near]:  # noqa: ARG002  the port's signature
        return []

    def forget(self) -> None:
        self.forgot += 1


class Slow(MemoryShelf):
    """Takes as long as the test says, fails as it says, and remembers what it was asked."""

    def __init__(self, *, is_prompt: bool = False) -> None:
        super().__init__()
        self.is_prompt = is_prompt
        self.free = threading.Event()
        self.free.set()
        self.fails = False
        self.asked: list[int] = []
        self.kept: list[int] = []
        self.purged: list[str] = []
        self.changed_over = 0

    def _wait(self) -> None:
        assert self.free.wait(10)
        if self.fails:
            raise Unavailable("Nobody is there.")

    def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        self.asked.append(len(keys))
        if not self.is_prompt:
            self._wait()
        return super().find(keys)

    def keep(self, filed: Sequence[Filed]) -> None:
        self._wait()
        self.kept += [int.from_bytes(one.key) for one in filed]
        super().keep(filed)

    def purge(self, orders: Sequence[Order], stop: threading.Event = NEVER) -> bool:
        self._wait()
        self.purged += [order.token for order in orders]
        return super().purge(orders, stop)

    def change_over(self) -> None:
        self.changed_over += 1
        self._wait()

    def unknown(self, orders: Sequence[Order]) -> list[Order]:
        self._wait()
        return super().unknown(orders)


class House:
    """A worker's answers over shelves of the test."""

    def __init__(self, *, is_shared: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.shelf, self.shared, self.nearness = Slow(is_prompt=True), Slow(), Held()
        self.answers = Answers(
            open_shelf=lambda: self.shelf,
            open_nearness=lambda: self.nearness,
            loop=loop,
            now_ns=lambda: 10**9,
            open_others=(lambda: Others(self.shared, loop)) if is_shared else None,
        )

    @property
    def others(self) -> Others:
        assert self.answers.others is not None
        return self.answers.others

    def there(self, number: int) -> bool:
        """Whether this worker finds it."""
        return self.answers.find(number.to_bytes(32)) is not None

    async def asked_others(self, count: int) -> list[Kept | None]:
        """What machines share of `count` answers, asked for in one turn of the loop."""
        found: list[Kept | None] = []
        asked = sum(self.others.find(number.to_bytes(32), found.append) for number in range(count))
        await until(lambda: len(found) == asked)
        return found

    def close(self) -> None:
        """Let everybody go."""
        for held in (self.shelf.free, self.shared.free, self.nearness.free):
            held.set()
        self.shared.fails = self.shelf.fails = False
        self.answers.close()


async def until(claim: Callable[[], bool]) -> None:
    """Wait for what comes from threads."""
    for _ in range(1000):
        if claim():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


def run(test: Callable[[House], Awaitable[None]], *, is_shared: bool = False) -> None:
    """A test in a loop of its own."""

    async def inside() -> None:
        house = House(is_shared=is_shared)
        try:
            await test(house)
        finally:
            house.close()

    asyncio.run(inside())


def told(house: House) -> dict[tuple[str, ...], float]:
    """The figures, by name and labels' values."""
    numbers = numbers_of(house.answers)
    return {(number.family, *(value for _, value in number.labels)): number.value for number in numbers}
