"""Figures of several processes of one machine, told by any of them."""

import threading
from pathlib import Path

import pytest

from rondel.gateway.board import FRESH_NS, PROCESS, Board
from rondel.gateway.dataplane.metrics import FAMILIES
from rondel.gateway.exposition import Family, Figures, Kind, Number

NAME = "rondel_gateway_requests_total"


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 10**18

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Hands:
    return Hands()


def _figures(board: Board, clock: Hands, requests: int) -> Figures:
    return Figures(board.process, clock(), FAMILIES, (Number(NAME, requests), *board.own()))


def _requests(told: bytes) -> dict[str, int]:
    lines = [line for line in told.decode().splitlines() if line.startswith(f"{NAME}{{")]
    return {line.partition('process="')[2].partition('"')[0]: int(line.split()[-1]) for line in lines}


def test_whoever_is_asked_tells_all(tmp_path: Path, clock: Hands) -> None:
    boards = [Board(tmp_path, f"gateway-{number}", clock) for number in range(3)]
    for number, board in enumerate(boards):
        board.leave(_figures(board, clock, number))
    for number, board in enumerate(boards):
        assert _requests(board.told(_figures(board, clock, number))) == {"gateway-0": 0, "gateway-1": 1, "gateway-2": 2}


def test_no_counter_falls_between_two_workers_answers(tmp_path: Path, clock: Hands) -> None:
    """Prometheus would take that for a new start and count everything twice."""
    first, second = (Board(tmp_path, name, clock) for name in ("gateway-0", "gateway-1"))
    first.leave(_figures(first, clock, 5))
    clock.ns += 10
    assert _requests(first.told(_figures(first, clock, 9)))["gateway-0"] == 9
    assert _requests(second.told(_figures(second, clock, 0)))["gateway-0"] == 9
    late = Figures("gateway-0", clock() - 5, FAMILIES, (Number(NAME, 7),))
    first.leave(late)  # a thread that was slow
    assert _requests(second.told(_figures(second, clock, 0)))["gateway-0"] == 9


def test_a_process_that_is_gone_is_told_no_more(tmp_path: Path, clock: Hands) -> None:
    gone, here = (Board(tmp_path, name, clock) for name in ("gateway-1", "gateway-0"))
    gone.leave(_figures(gone, clock, 5))
    clock.ns += FRESH_NS + 1
    assert _requests(here.told(_figures(here, clock, 1))) == {"gateway-0": 1}


def test_what_is_no_figures_stops_nothing(tmp_path: Path, clock: Hands) -> None:
    (tmp_path / "figures-gateway-7").write_bytes(b"\x93\x01torn")
    (tmp_path / "figures-gateway-8").mkdir()
    board = Board(tmp_path, "gateway-0", clock)
    assert _requests(board.told(_figures(board, clock, 1))) == {"gateway-0": 1}


def test_a_folder_that_cannot_be_written_leaves_a_process_its_own(tmp_path: Path, clock: Hands) -> None:
    board = Board(tmp_path / "nowhere", "gateway-0", clock)
    assert _requests(board.told(_figures(board, clock, 4))) == {"gateway-0": 4}


def test_processes_that_write_and_read_at_once_never_see_half(tmp_path: Path, clock: Hands) -> None:
    boards = [Board(tmp_path, f"gateway-{number}", clock) for number in range(4)]
    for board in boards:
        board.leave(_figures(board, clock, 0))
    seen: list[int] = []

    def work(board: Board) -> None:
        seen.extend(len(_requests(board.told(_figures(board, clock, count)))) for count in range(100))

    threads = [threading.Thread(target=work, args=(board,)) for board in boards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {4}


def test_a_process_tells_its_memory_and_time(tmp_path: Path, clock: Hands) -> None:
    own = {number.family: number.value for number in Board(tmp_path, "p", clock).own()}
    assert own.keys() == {family.name for family in PROCESS}
    assert own["process_resident_memory_bytes"] > 10_000_000
    assert own["process_cpu_seconds_total"] > 0
    assert own["process_start_time_seconds"] == 10**9


def test_two_versions_at_once_are_told_by_the_names_they_have(tmp_path: Path, clock: Hands) -> None:
    older = Board(tmp_path, "gateway-1", clock)
    family = Family("rondel_gateway_former_total", Kind.COUNTER, "Of an earlier version.")
    older.leave(Figures("gateway-1", clock(), (family,), (Number(family.name, 3),)))
    board = Board(tmp_path, "gateway-0", clock)
    told = board.told(_figures(board, clock, 1)).decode()
    assert 'rondel_gateway_former_total{process="gateway-1"} 3' in told
    assert "# TYPE rondel_gateway_former_total counter" in told
