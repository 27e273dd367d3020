"""The supervisor's process: `python -m rondel.server.up`, with its settings in the environment."""

from rondel.clock import SystemClock
from rondel.server.log import configure
from rondel.server.processes import Supervisor, write_down
from rondel.server.starting import told_to_end
from rondel.settings import Settings, load
from rondel.storage.folder import Folder


def supervise(settings: Settings) -> None:
    """Run the stack until SIGTERM or SIGINT."""
    folder = Folder(settings.data.absolute())
    folder.prepare()
    supervisor = Supervisor(settings, folder, SystemClock())
    ended = told_to_end()
    supervisor.start()
    write_down(folder, settings)
    try:
        while not ended.wait(0.2):
            supervisor.tend()
    finally:
        supervisor.stop()
        folder.running.unlink(missing_ok=True)


if __name__ == "__main__":
    settings = load()
    configure(settings.log_level, "up")
    supervise(settings)
