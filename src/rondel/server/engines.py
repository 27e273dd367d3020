"""The process that keeps local engines running: `python -m rondel.server.engines --data DIR`."""

import sys

from rondel.server.foundation import lay
from rondel.server.starting import run, told_to_end
from rondel.server.wiring import build
from rondel.serving.children import Processes
from rondel.serving.reconcile import Reconciler
from rondel.serving.reconcile import run as reconcile
from rondel.settings import Settings


def work(settings: Settings) -> None:
    """Reconcile deployments and processes until told to stop."""
    ended = told_to_end()
    ground = lay(settings, owns_columns=False)
    services = build(ground)
    reconcile(Reconciler(ground.rows, services.deployments, Processes(), ground.clock, ground.folder.logs), ended)
    ground.close()


if __name__ == "__main__":
    sys.exit(run("engines", sys.argv[1:], work))
