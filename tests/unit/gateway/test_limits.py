"""What a caller may use: each limit of each owner, alone and shared by workers."""

from datetime import timedelta

import pytest

from rondel.errors import LimitReached
from rondel.gateway.dataplane.limits import NO_TICKET, Limited, Ticket
from rondel.gateway.models import Snapshot, SpentSoFar
from rondel.identity.models import OwnerKind
from rondel.spend.budgets.models import Window
from tests.unit.gateway.metered import NOVEMBER, Machine, Worker, budget, key, owner


def admit(worker: Worker, nano: int = 0, *, tokens: int = 1, user: str = "", name: str = "app") -> Ticket:
    return worker.meter(name).admit(user, tokens, nano, worker.now())


def settle(worker: Worker, ticket: Ticket, nano: int | None = None, *, tokens: int | None = None) -> None:
    next(iter(worker.by_key.values())).settle(ticket, tokens, nano)


def spend(worker: Worker, nano: int, *, user: str = "", name: str = "app") -> None:
    settle(worker, admit(worker, nano, user=user, name=name), nano)


def count(worker: Worker, *, user: str = "", name: str = "app", most: int = 1000) -> int:
    """How many requests are let through, one after the other and never settled."""
    for number in range(most):
        try:
            admit(worker, user=user, name=name)
        except LimitReached:
            return number
    return most


def test_a_key_without_limits_gets_the_shared_ticket() -> None:
    worker = Machine((key(),)).all[0]
    assert admit(worker, 10**12, tokens=10**9, user="ada") is NO_TICKET
    settle(worker, NO_TICKET, 5)


def test_every_key_with_limits_has_a_meter_that_holds() -> None:
    keys = tuple(key(f"k{number}", requests_per_minute=number + 1) for number in range(20))
    worker = Machine(keys).all[0]
    assert [count(worker, name=f"k{number}") for number in range(20)] == list(range(1, 21))


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_requests_a_minute_are_shared_by_all_workers(workers: int) -> None:
    machine = Machine((key(requests_per_minute=10),), workers=workers)
    assert count(machine.all[0]) == 10
    assert sum(count(worker) for worker in machine.all) == 0


def test_a_limit_of_requests_opens_again_with_time() -> None:
    machine = Machine((key(requests_per_minute=2),))
    worker = machine.all[0]
    admit(worker)
    admit(worker)
    with pytest.raises(Limited, match=r"^The limit of 2 requests a minute of key 'app' is reached\.$") as refused:
        admit(worker)
    assert refused.value.wait_s == pytest.approx(30.0)
    machine.clock.advance(30.0)
    admit(worker)


def test_a_lease_of_a_rate_ends_and_what_was_not_used_is_not_lost() -> None:
    machine = Machine((key(requests_per_minute=6000),), workers=2)
    first, second = machine.all
    admit(first)  # takes a lease of more than one
    machine.keep()
    machine.keep()
    assert count(second, most=10_000) >= 5999


def test_unused_tokens_are_given_back_and_used_ones_are_owed() -> None:
    worker = Machine((key(tokens_per_minute=100),)).all[0]
    ticket = admit(worker, tokens=90)
    with pytest.raises(LimitReached):
        admit(worker, tokens=50)
    settle(worker, ticket, tokens=10)
    ticket = admit(worker, tokens=50)
    settle(worker, ticket, tokens=150)
    with pytest.raises(Limited) as refused:
        admit(worker, tokens=1)
    assert refused.value.wait_s == pytest.approx(36, abs=1)


def test_a_request_of_more_tokens_than_a_minute_has_waits_for_a_full_bucket() -> None:
    machine = Machine((key(tokens_per_minute=100),))
    worker = machine.all[0]
    admit(worker, tokens=500)
    with pytest.raises(Limited):
        admit(worker, tokens=1)
    machine.clock.advance(60 * 5 + 1)
    admit(worker, tokens=500)


@pytest.mark.parametrize("workers", [1, 4])
def test_requests_at_once_are_shared_and_a_place_that_is_left_is_there_at_once(workers: int) -> None:
    machine = Machine((key(concurrent=3),), workers=workers)
    tickets = [(worker, admit(worker)) for worker in (*machine.all, *machine.all, *machine.all)[:3]]
    for worker in machine.all:
        with pytest.raises(Limited, match=r"The limit of 3 requests at once of key 'app' is reached\."):
            admit(worker)
    settle(*tickets.pop())
    tickets.append((machine.all[0], admit(machine.all[0])))
    for worker, ticket in tickets:
        settle(worker, ticket)
    assert count(machine.all[-1]) == 3


def test_a_budget_counts_for_key_team_user_and_project_and_says_whose_is_used_up() -> None:
    owners = (
        owner(OwnerKind.TEAM, "shop", budgets=budget(300)),
        owner(OwnerKind.PROJECT, budgets=budget(1000)),
        owner(OwnerKind.USER, "*", budgets=budget(500)),
    )
    keys = (key("app", "shop", budgets=budget(100)), key("other", "shop"), key("alone"))
    worker = Machine(keys, owners).all[0]
    spend(worker, 100)
    with pytest.raises(LimitReached, match=r"a month of key 'app' is used up"):
        admit(worker, 1)
    spend(worker, 200, name="other")
    with pytest.raises(LimitReached, match=r"a month of team 'shop' is used up"):
        admit(worker, 1, name="other")
    spend(worker, 500, name="alone", user="ada")
    with pytest.raises(LimitReached, match=r"a month of user 'ada' is used up"):
        admit(worker, 1, name="alone", user="ada")
    spend(worker, 200, name="alone", user="bob")
    with pytest.raises(LimitReached, match=r"a month of the project is used up"):
        admit(worker, 1, name="alone", user="bob")


def test_what_one_owner_refuses_is_taken_from_no_other() -> None:
    owners = (owner(OwnerKind.TEAM, "shop", requests_per_minute=1), owner(OwnerKind.PROJECT, concurrent=2))
    worker = Machine((key("app", "shop", budgets=budget(1000)), key("b")), owners).all[0]
    ticket = admit(worker, 1)
    for _ in range(50):
        with pytest.raises(LimitReached):
            admit(worker, 100)
    settle(worker, ticket, 1)
    assert worker.ledger.used(worker.ledger.find("key/p/e/key_app/month"), NOVEMBER)[0] == 1
    assert count(worker, name="b") == 2


def test_check_and_take_are_one_step() -> None:
    """A hundred requests arrive while none is settled: a check that looks only at what is spent would let all in."""
    worker = Machine((key(budgets=budget(100)),)).all[0]
    tickets: list[Ticket] = []
    with pytest.raises(LimitReached):
        while len(tickets) < 100:
            tickets.append(admit(worker, 10))
    assert len(tickets) == 10


def test_the_first_request_of_a_new_user_is_limited() -> None:
    owners = (owner(OwnerKind.USER, "*", budgets=budget(100), requests_per_minute=2),)
    worker = Machine((key(),), owners).all[0]
    with pytest.raises(LimitReached, match="of user 'never seen'"):
        admit(worker, 101, user="never seen")
    admit(worker, 1, user="another")
    admit(worker, 1, user="another")
    with pytest.raises(Limited):
        admit(worker, 1, user="another")


def test_a_user_has_their_own_limits_and_for_the_rest_those_of_each_user() -> None:
    owners = (
        owner(OwnerKind.USER, "*", budgets=budget(100), requests_per_minute=2),
        owner(OwnerKind.USER, "ada", budgets=budget(1000)),
    )
    worker = Machine((key(),), owners).all[0]
    admit(worker, 500, user="ada")
    admit(worker, 500, user="ada")
    with pytest.raises(Limited, match="2 requests a minute of user 'ada'"):
        admit(worker, 0, user="ada")


def test_users_of_another_project_are_others() -> None:
    worker = Machine((key(),), (owner(OwnerKind.USER, "ada", requests_per_minute=1),)).all[0]
    assert count(worker, user="bob") == 1000
    assert count(worker, user="ada") == 1


def test_an_answer_that_costs_more_than_was_reserved_is_the_last() -> None:
    machine = Machine((key(budgets=budget(100)),), workers=2)
    first, second = machine.all
    settle(first, admit(first, 60), 140)
    for worker in machine.all:
        with pytest.raises(LimitReached, match="used up"):
            admit(worker, 0)
    at = second.ledger.find("key/p/e/key_app/month")
    assert second.ledger.used(at, NOVEMBER) == (140, 140)


def test_what_costs_nothing_known_passes_while_a_hard_budget_is_not_overdrawn() -> None:
    worker = Machine((key(budgets=budget(100)),)).all[0]
    spend(worker, 100)
    settle(worker, admit(worker, 0), None)


def test_money_that_is_only_reserved_comes_back_soon() -> None:
    machine = Machine((key(budgets=budget(100)),), workers=2)
    first, second = machine.all
    ticket = admit(first, 80)
    with pytest.raises(Limited, match=r"is reserved for requests that are under way\.") as refused:
        admit(second, 80)
    assert refused.value.wait_s == 1.0
    settle(first, ticket, 10)
    machine.keep()
    admit(second, 80)


def test_an_aborted_stream_settles_what_was_used() -> None:
    worker = Machine((key(budgets=budget(100)),)).all[0]
    settle(worker, admit(worker, 90), 30)
    admit(worker, 70)
    with pytest.raises(LimitReached):
        admit(worker, 1)


def test_a_killed_worker_gives_back_what_it_reserved_and_not_what_it_spent() -> None:
    machine = Machine((key(budgets=budget(100), concurrent=2),), workers=2)
    first, second = machine.all
    spend(first, 30)
    admit(first, 50)
    admit(first, 20)
    with pytest.raises(LimitReached):
        admit(second, 1)
    first.kill()
    machine.clock.advance(0.2)
    ticket = admit(second, 70)
    with pytest.raises(LimitReached):
        admit(second, 1)
    settle(second, ticket, 0)
    machine.keep()
    machine.keep()
    again = machine.start(0)
    admit(again, 70)
    with pytest.raises(LimitReached):
        admit(again, 1)


def test_a_new_day_begins_for_all_workers_at_midnight_utc() -> None:
    machine = Machine((key(budgets=budget(100, Window.DAY)),), workers=3)
    spend(machine.all[0], 100)
    machine.clock.advance(12 * 3600 - 0.001)
    for worker in machine.all:
        with pytest.raises(LimitReached, match="a day"):
            admit(worker, 1)
    machine.clock.advance(0.001)
    for worker in machine.all:
        spend(worker, 33)
    with pytest.raises(LimitReached):
        admit(machine.all[1], 2)


def test_a_request_over_midnight_is_settled_in_the_day_it_began() -> None:
    machine = Machine((key(budgets=(*budget(100, Window.DAY), *budget(150, Window.MONTH))),))
    worker = machine.all[0]
    ticket = admit(worker, 60)
    machine.clock.advance(13 * 3600)
    admit(worker, 0)
    settle(worker, ticket, 50)
    spend(worker, 100)
    with pytest.raises(LimitReached, match="of key 'app' is used up"):
        admit(worker, 1)


def test_weeks_begin_on_mondays_and_months_on_the_first() -> None:
    machine = Machine((key("w", budgets=budget(10, Window.WEEK)), key("m", budgets=budget(10, Window.MONTH))))
    worker = machine.all[0]
    seen: dict[str, list[str]] = {"w": [], "m": []}
    for _ in range(12):
        for name, days in seen.items():
            try:
                spend(worker, 10, name=name)
            except LimitReached:
                continue
            days.append(f"{machine.clock.wall:%a %d}")
        machine.clock.advance(24 * 3600)
    assert seen == {"w": ["Wed 25", "Mon 30"], "m": ["Wed 25", "Tue 01"]}


def test_a_clock_that_jumps_moves_windows_and_never_opens_one_again() -> None:
    machine = Machine((key(budgets=budget(100, Window.DAY), requests_per_minute=1000),))
    worker = machine.all[0]
    spend(worker, 100)
    clock = machine.clock
    clock.wall += timedelta(days=1)
    with pytest.raises(LimitReached):
        admit(worker, 1)
    worker.meters.keep(worker.now())
    spend(worker, 100)
    clock.wall -= timedelta(days=1)
    worker.meters.keep(worker.now())
    with pytest.raises(LimitReached):
        admit(worker, 1)


def test_a_bucket_goes_by_monotonic_time_alone() -> None:
    machine = Machine((key(requests_per_minute=1),))
    worker = machine.all[0]
    admit(worker)
    machine.clock.wall += timedelta(days=400)
    worker.meters.keep(worker.now())
    with pytest.raises(Limited):
        admit(worker)


def test_new_figures_of_a_limit_hold_at_once_and_what_was_spent_stays() -> None:
    machine = Machine((key(budgets=budget(100), requests_per_minute=1),))
    worker = machine.all[0]
    ticket = admit(worker, 90)
    machine.keys = (key(budgets=budget(200), requests_per_minute=100),)
    worker.apply(machine.snapshot())
    settle(worker, ticket, 80)
    machine.clock.advance(0.6)  # a hundredth of a minute
    spend(worker, 120)
    with pytest.raises(LimitReached):
        admit(worker, 1)
    machine.keys = (key(),)
    worker.apply(machine.snapshot())
    assert admit(worker, 10**9) is NO_TICKET
    machine.keys = (key(budgets=budget(200)),)
    worker.apply(machine.snapshot())
    with pytest.raises(LimitReached):
        admit(worker, 1)


def test_what_the_server_knows_to_be_spent_counts_when_it_is_more() -> None:
    account = "key/p/e/key_app/month"
    began = NOVEMBER
    machine = Machine((key(budgets=budget(100)),), spent=(SpentSoFar(account, began, 70),))
    worker = machine.all[0]
    spend(worker, 20)
    worker.apply(Snapshot(version=2, hash_key="", keys=machine.keys, spent=(SpentSoFar(account, began, 85),)))
    spend(worker, 10)
    with pytest.raises(LimitReached):
        admit(worker, 1)
    worker.apply(Snapshot(version=3, hash_key="", keys=machine.keys, spent=(SpentSoFar(account, began - 30, 0),)))
    with pytest.raises(LimitReached):
        admit(worker, 1)


def test_users_that_do_not_call_are_forgotten_and_what_they_spent_is_not() -> None:
    machine = Machine((key(),), (owner(OwnerKind.USER, "*", budgets=budget(100)),))
    worker = machine.all[0]
    spend(worker, 90, user="ada")
    for _ in range(5):
        machine.clock.advance(1801)
        worker.meters.keep(worker.now())
    with pytest.raises(LimitReached):
        admit(worker, 11, user="ada")
    spend(worker, 10, user="ada")


def test_more_users_than_a_worker_keeps_in_mind_are_limited_all_the_same() -> None:
    machine = Machine((key(),), (owner(OwnerKind.USER, "*", budgets=budget(100, Window.DAY)),))
    worker = machine.all[0]
    worker.meters.most_users = 10
    for number in range(100):
        spend(worker, 90, user=f"user {number}")
    for number in (0, 50, 99):
        with pytest.raises(LimitReached):
            admit(worker, 11, user=f"user {number}")
    machine.clock.advance(12 * 3600)
    for number in range(100):
        spend(worker, 100, user=f"user {number}")


def test_a_user_whom_nothing_limits_costs_nothing() -> None:
    worker = Machine((key(),), (owner(OwnerKind.USER, "ada", requests_per_minute=1),)).all[0]
    assert admit(worker, 5, user="bob") is NO_TICKET


@pytest.mark.parametrize("wanted", [10**8, 10**12])
def test_more_than_a_minute_holds_takes_a_minute_and_gives_no_more_back(wanted: int) -> None:
    worker = Machine((key(tokens_per_minute=1000),)).all[0]
    settle(worker, admit(worker, tokens=wanted), tokens=0)
    taken = 0
    while taken < 5000:
        try:
            admit(worker, tokens=100)
        except LimitReached:
            break
        taken += 100
    assert taken <= 1000
