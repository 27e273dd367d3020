"""Where requests that are passed on begin: who asks, and what reads them."""

from rondel.errors import Forbidden, RondelError, Unavailable
from rondel.gateway.dataplane.asking import Entry, enter
from rondel.gateway.dataplane.passing.errands import ProviderReading, Reading
from rondel.gateway.dataplane.passing.keeping import Entered
from rondel.gateway.dataplane.passing.naming import MCP, name
from rondel.gateway.dataplane.passing.passage import Passage
from rondel.gateway.dataplane.passing.tools import McpReading
from rondel.gateway.dataplane.ports import Relayed, Uploading
from rondel.gateway.dataplane.request import Request
from rondel.gateway.dataplane.ways import Ways
from rondel.gateway.dataplane.wire import error_answer
from rondel.gateway.dataplane.worker import Worker
from rondel.ids import chance


class Refused:
    """A request of nobody who is known: it is answered, and its body is not taken."""

    def __init__(self, worker: Worker, caller: Relayed, error: RondelError) -> None:
        worker.metrics.refused(error.code)
        answer = error_answer(error, retry_after_s=2.0 if isinstance(error, Unavailable) else None)
        self._timer = worker.loop.call_soon(lambda: caller.answer(answer))  # its caller has to know it first

    def body(self, data: bytes) -> None:
        """It is not looked at."""

    def complete(self) -> None:
        """As before."""

    def hang_up(self) -> None:
        """Nobody waits any more."""
        self._timer.cancel()

    def pause(self) -> None:
        """Nothing is on its way."""

    def resume(self) -> None:
        """As before."""


def pass_on(worker: Worker, caller: Relayed, request: Request) -> Uploading:
    """Begin to pass a request on, or refuse it."""
    worker.metrics.requests += 1
    worker.retries.earn()
    try:
        if (ways := worker.ways) is None:
            raise Unavailable("The gateway has no snapshot yet: the server has to be up once. Try again in 2 s.")
        now_ns = worker.now_ns()
        entry = enter(ways.plan, request, None, now_ns)
        if entry.key.guardrails:
            raise Forbidden("The key has guardrails, and what is passed on is not read: use a key without them.")
        parent, ids = entry.parent, chance(24).hex()
        entered = Entered(
            entry,
            now_ns,
            worker.now(),
            worker.series.new(now_ns),
            parent.trace_id if parent else ids[:32],
            ids[32:],
            parent.flags if parent else 1,
        )
        reading = _reading(worker, ways, entry, request, entered.request_id)
    except RondelError as error:
        return Refused(worker, caller, error)
    return Passage(worker, caller, request, entered, reading)


def _reading(worker: Worker, ways: Ways, entry: Entry, request: Request, request_id: str) -> Reading:
    if request.path.startswith(MCP.encode()):
        return McpReading(worker, ways.plan, entry, request, request.path.decode("latin-1"))
    named = name(request.method.decode("latin-1"), request.target.decode("latin-1"))
    return ProviderReading(worker, ways, entry, request, named, request_id)
