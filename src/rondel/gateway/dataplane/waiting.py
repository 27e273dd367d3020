"""A request whose limits are being looked up elsewhere: its caller may go, or read slowly, before it begins."""

from rondel.gateway.dataplane.ports import Handler

LEASE_WAIT_S = 1.0
"""How long a request waits in all for leases of its limits from another machine."""


class Waiting:
    """Stands for a request whose limits are being looked up, and then for its exchange."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.is_gone = self._is_paused = False
        self._exchange: Handler | None = None

    def hand_over(self, exchange: Handler) -> None:
        """It may go on."""
        self._exchange = exchange
        if self._is_paused:
            exchange.pause()

    def hang_up(self) -> None:
        """The caller is gone."""
        self.is_gone = True
        if self._exchange is not None:
            self._exchange.hang_up()

    def pause(self) -> None:
        """The caller reads too slowly."""
        self._is_paused = True
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        """It has caught up."""
        self._is_paused = False
        if self._exchange is not None:
            self._exchange.resume()
