"""Answers in a Redis or Valkey that several machines share.

    a:KEY -> place, keeper, answer (with its time to live)     o: name -> token, of the orders that were carried out
    i:PLACE: keys by when they were kept                       h:PLACE: key -> size; "" -> bytes of all

An answer and what is counted of it change in one script. Where Redis is short of memory it may drop either key of a
route and leave the other: sizes count for nothing without the order that their answers stand in. A purge looks at the
answers themselves, each of which says whose it is: so it misses none, whatever Redis dropped.
"""

from collections.abc import Sequence
from threading import Event

import msgspec
import redis
import structlog
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from rondel.errors import Unavailable
from rondel.gateway.caching import Kept, Order
from rondel.gateway.dataplane.cache.ports import NEVER, Filed, Size

log = structlog.get_logger()

ANSWER_S = 0.25
"""How long Redis may take."""
_PREFIX = "{rondel}:answers:"
"""One slot of a cluster for all of it, as the scripts need."""
_PLACE, _KEEPER = 16, 8
_OVERHEAD = 256
"""Bytes that an answer takes beside itself, about."""
_AT_ONCE = 500
"""Keys that a purge looks at in one question: Redis serves nobody else meanwhile."""
_FORGOTTEN_S = 32 * 86_400
"""What is known of a route is forgotten when none of its answers can be there any more."""

_KEEP = """
local body, key = ARGV[1], ARGV[2]
local at, ttl, size, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('UNLINK', KEYS[3]) end
local held = tonumber(redis.call('HGET', KEYS[3], '') or '0')
held = held - tonumber(redis.call('HGET', KEYS[3], key) or '0') + size
redis.call('SET', KEYS[1], body, 'PX', ttl)
redis.call('ZADD', KEYS[2], at, key)
redis.call('HSET', KEYS[3], key, string.format('%.0f', size))
for turn = 1, 1000 do
  local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('UNLINK', KEYS[3])
    held = 0
    break
  end
  if held <= most and tonumber(first[2]) >= at - ttl then break end
  held = held - tonumber(redis.call('HGET', KEYS[3], first[1]) or '0')
  redis.call('UNLINK', ARGV[7] .. first[1])
  redis.call('ZREM', KEYS[2], first[1])
  redis.call('HDEL', KEYS[3], first[1])
end
redis.call('HSET', KEYS[3], '', string.format('%.0f', held))
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('EXPIRE', KEYS[3], ARGV[8])
"""
_TAKE = """
local size = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[3], ARGV[1]) == 1 then redis.call('HINCRBY', KEYS[3], '', -size) end
if redis.call('ZCARD', KEYS[2]) == 0 then redis.call('UNLINK', KEYS[2], KEYS[3]) end
"""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Kept).decode


class RedisShelf:
    """As `SharedShelf`; `valkey://` is the same as `redis://`."""

    def __init__(self, dsn: str) -> None:
        url = dsn.replace("valkey", "redis", 1) if dsn.startswith("valkey") else dsn
        self._redis = redis.Redis.from_url(
            url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=Retry(NoBackoff(), 1)
        )  # once more, for a connection that was closed while it lay idle
        self._keep_script = self._redis.register_script(_KEEP)
        self._take_script = self._redis.register_script(_TAKE)

    def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """As in `Shelf`, in one question."""
        try:
            found = self._redis.mget([_named("a", key) for key in keys])
        except redis.RedisError as error:
            raise _unavailable(error) from error
        return [_read(value) if value is not None else None for value in found]

    def keep(self, filed: Sequence[Filed]) -> None:
        """As in `Shelf`."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for one in filed:
                    self._keep(pipe, one)
                pipe.execute()
        except redis.RedisError as error:
            raise _unavailable(error) from error

    def unknown(self, orders: Sequence[Order]) -> list[Order]:
        """As in `Shelf`."""
        if not orders:
            return []
        try:
            told = self._redis.hmget(_named("o"), [order.name for order in orders])
        except redis.RedisError as error:
            raise _unavailable(error) from error
        return [order for order, token in zip(orders, told, strict=True) if token != order.token.encode()]

    def purge(self, orders: Sequence[Order], stop: Event = NEVER) -> bool:
        """As in `Shelf`; orders are noted once they are carried out, so what was broken off is begun again.

        SCAN tells all keys that are there from its beginning to its end:
        https://redis.io/docs/latest/commands/scan/#scan-guarantees.
        """
        try:
            cursor, is_over = 0, not orders
            while not is_over:
                if stop.is_set():
                    self._redis.hdel(_named("o"), *(order.name for order in orders))
                    return False
                cursor, found = self._redis.scan(cursor, match=_named("a").decode() + "*", count=_AT_ONCE)
                self._take(orders, found)
                is_over = cursor == 0
            if orders:
                self._redis.hset(_named("o"), mapping={order.name: order.token for order in orders})
        except redis.RedisError as error:
            raise _unavailable(error) from error
        return True

    def sizes(self, places: Sequence[bytes]) -> list[Size]:
        """As in `Shelf`."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for place in places:
                    pipe.zcard(_named("i", place))
                    pipe.hget(_named("h", place), b"")
                told = pipe.execute()
        except redis.RedisError as error:
            raise _unavailable(error) from error
        return [Size(int(told[at]), int(told[at + 1] or 0)) for at in range(0, len(told), 2)]

    def close(self) -> None:
        """As in `Shelf`."""
        self._redis.close()

    def _keep(self, pipe: Pipeline, one: Filed) -> None:
        body = one.place + one.keeper + _pack(one.kept)
        size = len(body) + _OVERHEAD
        if size > one.max_bytes:
            return
        self._keep_script(
            keys=[_named("a", one.key), _named("i", one.place), _named("h", one.place)],
            args=[
                body,
                one.key,
                one.kept.at_ns // 1_000_000,
                max(1, int(one.ttl_s * 1000)),
                size,
                one.max_bytes,
                _named("a"),
                _FORGOTTEN_S,
            ],
            client=pipe,
        )

    def _take(self, orders: Sequence[Order], names: Sequence[bytes]) -> None:
        """Take those of these answers away that the orders say."""
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.getrange(name, 0, _PLACE + _KEEPER - 1)
            heads = pipe.execute()
        with self._redis.pipeline(transaction=False) as pipe:
            for name, head in zip(names, heads, strict=True):
                place, keeper = head[:_PLACE], head[_PLACE:]
                if any(order.takes(place, keeper) for order in orders):
                    key = name[len(_named("a")) :]
                    self._take_script(keys=[name, _named("i", place), _named("h", place)], args=[key], client=pipe)
            pipe.execute()


def _named(kind: str, rest: bytes = b"") -> bytes:
    return f"{_PREFIX}{kind}:".encode() + rest


def _read(value: bytes) -> Kept | None:
    try:
        return _unpack(value[_PLACE + _KEEPER :])
    except msgspec.DecodeError as error:  # of another version
        log.warning("a shared answer cannot be read", reason=str(error))
        return None


def _unavailable(error: redis.RedisError) -> Unavailable:
    return Unavailable(f"The cache's Redis does not answer: {str(error) or type(error).__name__}.")
