"""Tells what stands in the columns: `python -m tests.integration.server.stored FOLDER`, once the server is gone."""

import json
import sys
from pathlib import Path

from rondel.storage.columns.chdb import open_chdb

_SQL = "SELECT trace_id, span_id, toString(any(entry)), count() FROM spans GROUP BY trace_id, span_id"


def main(folder: Path) -> None:
    """See the top."""
    columns = open_chdb(folder)
    sys.stdout.write(json.dumps([list(row) for row in columns.query(_SQL).rows]))
    columns.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
