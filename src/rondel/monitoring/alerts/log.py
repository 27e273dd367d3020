"""Alerts into the log."""

from dataclasses import dataclass

import structlog

from rondel.monitoring.models import Message

log = structlog.get_logger()


@dataclass(frozen=True)
class Log:
    """One line at level warning when a limit breaks, at level info when it holds again."""

    def send(self, message: Message) -> None:
        """Write it."""
        write = log.warning if message.is_firing else log.info
        write(
            "alert",
            monitor=message.monitor,
            route=message.route,
            release_id=message.release_id,
            firing=message.is_firing,
            reason=message.sentence,
        )
