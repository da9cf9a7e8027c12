"""Where sessions are kept: in Redis, which replicas share, or in the memory of a single one."""

from __future__ import annotations

import time
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import WatchError

PREFIX = "portal:"
# How many names Redis looks at before it does something else.
SCANNED = 1000


class Store(Protocol):
    """Values that end by themselves, sets of names, and counters."""

    async def get(self, name: str) -> bytes | None: ...

    async def below(self, prefix: str) -> dict[str, bytes]:
        """Return every value whose name begins so."""

    async def put(self, name: str, value: bytes, seconds: int) -> None: ...

    async def replace(self, name: str, value: bytes, seconds: int) -> bool:
        """Put a value in the place of one that is there; tell whether one was."""

    async def swap(self, name: str, known: bytes, value: bytes | None, seconds: int = 0) -> bool:
        """Put a value in the place of just this one, None deletes it; tell whether it was there."""

    async def take(self, name: str) -> bytes | None:
        """Return the value and delete it: of several who ask, one gets it."""

    async def present(self, names: list[str]) -> int:
        """Return how many of these have a value."""

    async def delete(self, *names: str) -> int:
        """Delete values; return how many there were."""

    async def note(self, index: str, name: str, seconds: int) -> None:
        """Add a name to a set, which lasts at least that long."""

    async def noted(self, index: str) -> list[str]: ...

    async def unnote(self, index: str, names: list[str]) -> None:
        """Remove names from a set."""

    async def count(self, name: str, seconds: int) -> int:
        """Return how often this was asked within a window."""

    async def close(self) -> None: ...


class RedisStore:
    """A Redis that others may use too: every name has a prefix."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def get(self, name: str) -> bytes | None:
        return await self._redis.get(PREFIX + name)

    async def below(self, prefix: str) -> dict[str, bytes]:
        # Names are those of this program, without what means more to Redis.
        names = [n async for n in self._redis.scan_iter(f"{PREFIX}{prefix}*", count=SCANNED)]
        values = await self._redis.mget(names) if names else []
        found = zip(names, values, strict=True)
        return {_name(name): value for name, value in found if value is not None}

    async def put(self, name: str, value: bytes, seconds: int) -> None:
        await self._redis.set(PREFIX + name, value, ex=seconds)

    async def replace(self, name: str, value: bytes, seconds: int) -> bool:
        return bool(await self._redis.set(PREFIX + name, value, ex=seconds, xx=True))

    async def swap(self, name: str, known: bytes, value: bytes | None, seconds: int = 0) -> bool:
        key = PREFIX + name
        async with self._redis.pipeline() as pipe:
            await pipe.watch(key)
            if await pipe.get(key) != known:
                return False
            pipe.multi()
            if value is None:
                pipe.delete(key)
            else:
                pipe.set(key, value, ex=seconds)
            try:
                await pipe.execute()
            except WatchError:
                return False
        return True

    async def take(self, name: str) -> bytes | None:
        return await self._redis.getdel(PREFIX + name)

    async def present(self, names: list[str]) -> int:
        return await self._redis.exists(*(PREFIX + name for name in names)) if names else 0

    async def delete(self, *names: str) -> int:
        return await self._redis.delete(*(PREFIX + name for name in names)) if names else 0

    async def note(self, index: str, name: str, seconds: int) -> None:
        key = PREFIX + index
        async with self._redis.pipeline() as pipe:
            pipe.sadd(key, name)
            # Never sooner than for a name that is there already.
            await pipe.expire(key, seconds, nx=True).expire(key, seconds, gt=True).execute()

    async def noted(self, index: str) -> list[str]:
        return [name.decode() for name in await self._redis.smembers(PREFIX + index)]

    async def unnote(self, index: str, names: list[str]) -> None:
        if names:
            await self._redis.srem(PREFIX + index, *names)

    async def count(self, name: str, seconds: int) -> int:
        async with self._redis.pipeline() as pipe:
            key = PREFIX + name
            asked = await pipe.incr(key).expire(key, seconds, nx=True).execute()
        return int(asked[0])

    async def close(self) -> None:
        await self._redis.aclose()


class MemoryStore:
    """For a single replica without a Redis: everybody signs in again after a restart."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, float]] = {}
        self._sets: dict[str, set[str]] = {}
        self._counts: dict[str, tuple[int, float]] = {}

    async def get(self, name: str) -> bytes | None:
        value, ends_at = self._values.get(name, (None, 0.0))
        return value if time.monotonic() < ends_at else None

    async def below(self, prefix: str) -> dict[str, bytes]:
        found = {name: await self.get(name) for name in self._values if name.startswith(prefix)}
        return {name: value for name, value in found.items() if value is not None}

    async def put(self, name: str, value: bytes, seconds: int) -> None:
        now = time.monotonic()
        self._values = {n: kept for n, kept in self._values.items() if now < kept[1]}
        self._values[name] = (value, now + seconds)

    async def replace(self, name: str, value: bytes, seconds: int) -> bool:
        is_there = await self.get(name) is not None
        if is_there:
            await self.put(name, value, seconds)
        return is_there

    async def swap(self, name: str, known: bytes, value: bytes | None, seconds: int = 0) -> bool:
        if await self.get(name) != known:
            return False
        if value is None:
            self._values.pop(name, None)
        else:
            await self.put(name, value, seconds)
        return True

    async def take(self, name: str) -> bytes | None:
        value = await self.get(name)
        self._values.pop(name, None)
        return value

    async def present(self, names: list[str]) -> int:
        return sum([await self.get(name) is not None for name in names])

    async def delete(self, *names: str) -> int:
        count = await self.present(list(names))
        for name in names:
            self._values.pop(name, None)
        return count

    async def note(self, index: str, name: str, seconds: int) -> None:
        self._sets[index] = {n for n in self._sets.get(index, ()) if n in self._values} | {name}

    async def noted(self, index: str) -> list[str]:
        return sorted(self._sets.get(index, ()))

    async def unnote(self, index: str, names: list[str]) -> None:
        self._sets[index] = self._sets.get(index, set()).difference(names)

    async def count(self, name: str, seconds: int) -> int:
        now = time.monotonic()
        self._counts = {n: kept for n, kept in self._counts.items() if now < kept[1]}
        asked, ends_at = self._counts.get(name, (0, now + seconds))
        self._counts[name] = (asked + 1, ends_at)
        return asked + 1

    async def close(self) -> None:
        return None


def _name(place: bytes) -> str:
    """A name without the prefix; one that is no text was not written here."""
    return place.decode(errors="replace").removeprefix(PREFIX)
