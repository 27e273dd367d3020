"""What budgets are charged for a gateway record."""

from collections.abc import Callable, Sequence

from rondel.spend.budgets.models import Charge
from rondel.spend.budgets.rules import day_of
from rondel.spend.budgets.service import Budgets
from rondel.storage.ports import Tx
from rondel.telemetry.records import ArmStage, GatewayRecord


def charge_of(record: GatewayRecord) -> Charge | None:
    """The charge, in the UTC day in which the request began; None for what costs the caller nothing.

    That is a shadow, which nobody asked for, and a request without an answer. What the worker charged counts, so that
    its ledger and this one agree; records without that figure go by their cost.
    """
    nano = record.cost_nano if record.charged_nano is None else record.charged_nano
    if record.stage is ArmStage.SHADOW or (record.tokens is None and not nano):
        return None
    day = day_of(record.started_ns / 1e9)
    return Charge(record.project_id, record.environment, record.key_id, record.user, day, nano)


def charging(budgets: Budgets) -> Callable[[Tx, Sequence[GatewayRecord]], None]:
    """For the drain: charges the records that it stores."""

    def charge(tx: Tx, records: Sequence[GatewayRecord]) -> None:
        found = [charge for record in records if (charge := charge_of(record)) is not None]
        if found:
            budgets.charge(tx, found)

    return charge
