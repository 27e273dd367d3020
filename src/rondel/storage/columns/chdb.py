"""The columns in this process: chDB, owned by the server alone.

chDB opens one folder a process and starts threads: never fork after the first question, and let other processes ask
through `RemoteColumns`.
"""

from pathlib import Path

from rondel.storage.columns.clickhouse import ClickHouseColumns


def open_chdb(folder: Path) -> ClickHouseColumns:
    """chDB in `folder`, which is made if it is not there. The engine starts with the first question (about 1 s)."""
    folder.mkdir(parents=True, exist_ok=True)
    return ClickHouseColumns(f"chdb://{folder.resolve()}")
