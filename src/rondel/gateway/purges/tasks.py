"""What is done about kept answers without being asked."""

from collections.abc import Callable

from rondel.gateway.purges.service import Purges
from rondel.governance.models import ErasureOrdered
from rondel.storage.ports import Rows


def erase_kept(rows: Rows, purges: Purges) -> Callable[[ErasureOrdered], None]:
    """A listener: what an order to erase asks of kept answers."""

    def listen(order: ErasureOrdered) -> None:
        with rows.transaction() as tx:
            purges.erase(tx, order)

    return listen
