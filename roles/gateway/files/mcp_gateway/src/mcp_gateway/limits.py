"""How much one caller, and all of them together, may ask for."""

from __future__ import annotations

import contextlib
import logging
import resource
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator

from mcp_gateway import envelope
from mcp_gateway.addresses import Proxies, bucket
from mcp_gateway.identify import Principal
from mcp_gateway.metrics import Metrics
from mcp_gateway.refusal import Refusal
from mcp_gateway.settings import Config, Limits, RateLimit

log = logging.getLogger("mcp_gateway.limits")
REDIS_TIMEOUT = 0.25
REDIS_PAUSE = 5.0
# One bucket per caller: (tokens, time). Lua makes take-or-refuse one step for all replicas.
TAKE = """
local rate, burst, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 't', 'at')
local tokens = math.min(burst, (tonumber(state[1]) or burst)
  + math.max(0, now - (tonumber(state[2]) or now)) * rate)
local wait = 0
if tokens >= 1 then tokens = tokens - 1 else wait = (1 - tokens) / rate end
redis.call('HSET', KEYS[1], 't', tokens, 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return tostring(wait)
"""


class Bounds:
    """Counts of what is going on, per caller and in all."""

    def __init__(self, config: Config) -> None:
        self.limits = config.limits
        self._calls: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._sessions: dict[str, OrderedDict[str, None]] = {}
        self._total = 0
        self._bytes: Counter[str] = Counter()
        self._total_bytes = 0

    def held(self, who: Principal) -> Held:
        """An account of the bytes that a request of this caller holds until its end."""
        return Held(self, who.id)

    def hold(self, caller: str, size: int) -> None:
        """Room for so many bytes more; Refusal with 429 or 503 when there is none."""
        limits, mine = self.limits, self._bytes[caller]
        if self._total_bytes + size > limits.in_flight_bytes:
            found = f"the gateway already holds {self._total_bytes} bytes"
            raise _too_many("bytes", 503, found)
        if mine + size > limits.in_flight_bytes_per_caller:
            raise _too_many("bytes", 429, f"your requests at work hold {mine} bytes")
        self._total_bytes += size
        self._bytes[caller] += size

    def let_go(self, caller: str, size: int) -> None:
        self._total_bytes -= size
        self._bytes[caller] -= size
        if self._bytes[caller] <= 0:
            del self._bytes[caller]

    def call(self, who: Principal) -> Slot:
        """A slot for one call; Refusal with 429 or 503 when there is none."""
        if self._total >= self.limits.calls:
            raise _too_many("gateway", 503, f"the gateway already serves {self._total} calls")
        if self._calls[who.id] >= self.limits.calls_per_caller:
            raise _too_many("calls", 429, f"you already have {self._calls[who.id]} calls at work")
        self._total += 1
        self._calls[who.id] += 1
        return Slot(self, who.id)

    def call_ends(self, caller: str) -> None:
        self._total -= 1
        _less(self._calls, caller)

    @contextlib.contextmanager
    def stream(self, who: Principal) -> Iterator[None]:
        """A slot for one long-lived stream."""
        if self._streams[who.id] >= self.limits.streams_per_caller:
            raise _too_many(
                "streams", 429, f"you already have {self._streams[who.id]} streams open"
            )
        self._streams[who.id] += 1
        try:
            yield
        finally:
            _less(self._streams, who.id)

    def session_opens(self, who: Principal, uid: str) -> str | None:
        """Remember a session; the caller's oldest one (to be ended) when there are too many."""
        mine = self._sessions.setdefault(who.id, OrderedDict())
        mine[uid] = None
        if len(mine) > self.limits.sessions_per_caller:
            return mine.popitem(last=False)[0]
        return None

    def session_ends(self, owner: str, uid: str) -> None:
        mine = self._sessions.get(owner)
        if mine is not None:
            mine.pop(uid, None)
            if not mine:
                del self._sessions[owner]


class Held:
    """The bytes of one request, from when they arrive until it has been answered."""

    def __init__(self, bounds: Bounds, caller: str) -> None:
        self._bounds: Bounds | None = bounds
        self._caller = caller
        self._size = 0
        self._answer = 0

    def add(self, size: int) -> None:
        """So many more, or fewer; Refusal when there is no room for them."""
        if self._bounds is None:
            return  # a late word about what is gone
        if size > 0:
            self._bounds.hold(self._caller, size)
        elif size < 0:
            self._bounds.let_go(self._caller, -size)
        self._size += size

    def answer(self, size: int) -> None:
        """So much of the answer is in memory now; Refusal when there is no room for it."""
        self.add(size - self._answer)
        self._answer = size

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        bounds, self._bounds = self._bounds, None
        if bounds is not None:
            bounds.let_go(self._caller, self._size)


def allow_files(connections: int) -> None:
    """Have as many open files as so many connections need: a call has one on either side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 256
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    if most < wanted:
        log.warning(
            "limits.connections is %d, which takes %d open files, and this process may have %d: "
            "lower it, or raise the limit of the system (RLIMIT_NOFILE)",
            connections,
            wanted,
            max(soft, most),
        )


class Connections:
    """How many connections are open, in all and by the address they come from."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.total = 0
        self._by_address: Counter[str] = Counter()

    def refusal(self, peer: str, proxies: Proxies) -> str | None:
        """Why one more connection of this peer is too many; None when it is not."""
        limits = self.limits
        if self.total >= limits.connections:
            return f"{self.total} connections are open (limits.connections)"
        mine = self._by_address[bucket(peer)]
        if mine >= limits.connections_per_address and not proxies.speaks_for_many(peer):
            return f"{mine} connections of your address are open (limits.connections_per_address)"
        return None

    def opened(self, peer: str) -> None:
        self.total += 1
        self._by_address[bucket(peer)] += 1

    def closed(self, peer: str) -> None:
        self.total -= 1
        key = bucket(peer)
        self._by_address[key] -= 1
        if self._by_address[key] <= 0:
            del self._by_address[key]


class Slot:
    """One call's share of the bounds; a call that becomes a stream gives it back early."""

    def __init__(self, bounds: Bounds, caller: str) -> None:
        self._bounds: Bounds | None = bounds
        self._caller = caller

    def release(self) -> None:
        bounds, self._bounds = self._bounds, None
        if bounds is not None:
            bounds.call_ends(self._caller)

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def _too_many(kind: str, status: int, message: str, seconds: float = 1) -> Refusal:
    return Refusal(
        f"limit_{kind}",
        status,
        envelope.BUSY,
        f"{message}; try again later",
        headers={"retry-after": str(max(1, round(seconds)))},
    )


class RateLimiter:
    """A token bucket per caller; shared through Redis where there is one."""

    def __init__(self, settings: RateLimit, redis_url: str | None, metrics: Metrics) -> None:
        self._rate = settings.requests_per_minute / 60
        self._burst = float(settings.burst or settings.requests_per_minute)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._metrics = metrics
        self._redis = redis_client(redis_url) if redis_url and self._rate else None
        self._script = self._redis.register_script(TAKE) if self._redis is not None else None
        self._not_before = 0.0

    @property
    def is_on(self) -> bool:
        return self._rate > 0

    async def take(self, who: Principal) -> None:
        """One request; Refusal with 429 when the caller has had its share."""
        wait = await self._shared(who.id) if self._script is not None else self._local(who.id)
        if wait > 0:
            raise _too_many("rate", 429, f"more than {self._rate * 60:g} requests a minute", wait)

    def _local(self, caller: str) -> float:
        now = time.monotonic()
        tokens, at = self._buckets.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[caller] = (tokens - 1 if wait == 0 else tokens, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > 10_000:
            self._buckets.popitem(last=False)
        return wait

    async def _shared(self, caller: str) -> float:
        """Through Redis; when it is away the request goes through and is counted."""
        if time.monotonic() < self._not_before:
            self._metrics.rate_limit_away.inc()
            return 0.0
        try:
            assert self._script is not None
            args = [self._rate, self._burst, time.time()]
            return float(await self._script(keys=[f"mcp-gateway:rate:{caller}"], args=args))
        except Exception as error:
            log.warning("rate limits are not enforced: Redis: %s", type(error).__name__)
            self._metrics.rate_limit_away.inc()
            self._not_before = time.monotonic() + REDIS_PAUSE
            return 0.0

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()


def redis_client(url: str, seconds: float = REDIS_TIMEOUT):  # type: ignore[no-untyped-def]
    """A client; the package is an optional dependency."""
    try:
        from redis.asyncio import Redis
    except ImportError:
        raise ValueError(
            "redis_url needs the redis package: pip install intranet-mcp-gateway[redis]"
        ) from None
    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=None)
