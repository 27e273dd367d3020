"""The process that carries out jobs: `python -m rondel.server.worker --data DIR`."""

import sys

from rondel.jobs.steps import DbosSteps
from rondel.jobs.worker import Worker
from rondel.server.first import first_start, local_key
from rondel.server.foundation import lay
from rondel.server.loopback import Gateway
from rondel.server.starting import run, told_to_end
from rondel.server.wiring import build, tasks
from rondel.settings import Settings


def work(settings: Settings) -> None:
    """Carry out jobs until told to stop; this does not return, the process ends with it."""
    ended = told_to_end()
    ground = lay(settings, owns_columns=False)
    first_start(settings, ground.folder, ground.clock)
    chat = Gateway(ground.public_url, local_key(ground.folder), ground.clock)
    steps = DbosSteps(settings.rows or f"sqlite:///{ground.folder.jobs}")
    known = tasks(ground, build(ground), chat)
    Worker(known, rows=ground.rows, steps=steps, ids=ground.ids, clock=ground.clock).run_process(ended)


if __name__ == "__main__":
    sys.exit(run("worker", sys.argv[1:], work))
