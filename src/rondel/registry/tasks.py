"""What follows a deletion: the bytes go when nothing else has them."""

from collections.abc import Callable

from rondel.registry.models import ModelDeleted
from rondel.registry.service import Registry
from rondel.storage.ports import Rows


def sweep(rows: Rows, registry: Registry) -> Callable[[ModelDeleted], None]:
    """A listener: a deleted model's file is removed, unless another version of any project is the same bytes."""

    def listen(event: ModelDeleted) -> None:
        with rows.transaction() as tx:
            registry.sweep(tx, event.blob_sha256)

    return listen
