"""No row belongs to nobody: every table says whose its rows are, or stands here with the reason why not."""

import rondel.server.wiring
from rondel.storage.ports import METADATA

OF_THE_INSTALLATION = {
    "projects": "a project itself",
    "sessions": "belongs to a key, which has a project",
    "audit_heads": "the signed end of the one chain over all projects",
    "outbox": "the project stands in the event; only the server's own listeners read it",
    "job_leases": "workers carry out the jobs of every project",
    "spool_positions": "how far a file is read; the records in it name their projects",
}
OF_ALL_ENVIRONMENTS = {
    "people": "a person works in all environments of a project",
    "teams": "a team has keys in all environments of a project; its limits and budgets are of one",
}


def test_every_table_names_project_and_environment_or_is_known_not_to() -> None:
    assert rondel.server.wiring.build, "wiring imports every area, and so declares every table"
    without_project = {name for name, table in METADATA.tables.items() if "project_id" not in table.c}
    without_environment = {name for name, table in METADATA.tables.items() if "environment" not in table.c}
    assert without_project == set(OF_THE_INSTALLATION)
    assert without_environment == set(OF_THE_INSTALLATION) | set(OF_ALL_ENVIRONMENTS)


def test_no_row_can_leave_its_project_open() -> None:
    for name, table in METADATA.tables.items():
        for column in ("project_id", "environment"):
            if column in table.c:
                assert not table.c[column].nullable, f"{name}.{column}"
