"""Workers of one machine, in this process, with a clock that stands."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rondel.clock import FixedClock, to_ns
from rondel.gateway.dataplane.ledger import Ledger, Memory, MemoryPlace
from rondel.gateway.dataplane.limits import Meter
from rondel.gateway.dataplane.meters import Meters
from rondel.gateway.dataplane.sharing import LocalShares
from rondel.gateway.models import Allowance, LimitedOwner, Limits, Snapshot, SpentSoFar, VirtualKey
from rondel.identity.models import OwnerKind
from rondel.spend.budgets.models import Window

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""A Wednesday."""
NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days


class TwoClocks(FixedClock):
    """A wall that can be set while monotonic time stands."""

    def __init__(self, wall: datetime) -> None:
        super().__init__(wall)
        self.wall = wall

    def now(self) -> datetime:
        return self.wall

    def now_ns(self) -> int:
        return to_ns(self.wall)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.wall += timedelta(seconds=seconds)


def budget(nano: int, window: Window = Window.MONTH) -> tuple[Allowance, ...]:
    """A hard budget."""
    return (Allowance(window, nano),)


def key(name: str = "app", team: str = "", **limits: object) -> VirtualKey:
    """A key with limits."""
    made = Limits(**limits)  # pyright: ignore[reportArgumentType]  test values
    return VirtualKey(
        id=f"key_{name}", hash=name, name=name, project_id="p", environment="e", team_id=team, limits=made
    )


def owner(kind: OwnerKind, name: str = "", **limits: object) -> LimitedOwner:
    """A team, a user or the project with limits."""
    made = Limits(**limits)  # pyright: ignore[reportArgumentType]  test values
    return LimitedOwner(kind=kind, project_id="p", environment="e", id=name, name=name, limits=made)


@dataclass
class Worker:
    """One worker's meters."""

    memory: Memory
    clock: FixedClock
    number: int
    snapshot: Snapshot
    place: MemoryPlace = field(init=False)
    meters: Meters = field(init=False)
    by_key: dict[str, Meter] = field(init=False)

    def __post_init__(self) -> None:
        self.place = MemoryPlace(self.memory)
        self.ledger = Ledger(self.place, self.number)
        self.shares = LocalShares(self.ledger)
        self.meters = Meters(self.shares, self.clock)
        self.apply(self.snapshot)

    def apply(self, snapshot: Snapshot) -> None:
        """Go on with another snapshot."""
        self.by_key = self.meters.build(snapshot)

    def meter(self, name: str = "app") -> Meter:
        """Of a key."""
        return self.by_key[f"key_{name}"]

    def now(self) -> float:
        """Monotonic."""
        return self.clock.monotonic()

    def kill(self) -> None:
        """kill -9: nothing is given back, and its locks are gone."""
        self.place.close()


@dataclass
class Machine:
    """Workers that share a ledger."""

    keys: tuple[VirtualKey, ...] = ()
    owners: tuple[LimitedOwner, ...] = ()
    spent: tuple[SpentSoFar, ...] = ()
    workers: int = 1
    clock: TwoClocks = field(default_factory=lambda: TwoClocks(NOON))
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.all = [self.start(number) for number in range(self.workers)]

    def snapshot(self) -> Snapshot:
        """What the workers live on."""
        return Snapshot(
            version=1, hash_key="", keys=self.keys, owners=self.owners, spent=self.spent, workers=self.workers
        )

    def start(self, number: int) -> Worker:
        """A worker."""
        return Worker(self.memory, self.clock, number, self.snapshot())

    def keep(self) -> None:
        """A second passes, in which every worker looks after its leases."""
        self.clock.advance(1)
        for worker in self.all:
            worker.meters.keep(worker.now())


def alone() -> Meters:
    """Those of a worker who is alone, at a time that stands."""
    return Meters(LocalShares(Ledger(MemoryPlace(Memory()), 0)), FixedClock())
