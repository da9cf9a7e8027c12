"""Where people's credentials for tool servers are kept: in Redis, from which the gateway reads."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mcp_portal.problem import Problem
from mcp_portal.settings import ConfigError, Credentials, secret
from mcp_portal.vault import Vault

# Visible ASCII: nothing that ends a header or begins another one. The gateway expects the same.
MAX_TOKEN = 4096
_TOKEN = re.compile(rf"[\x21-\x7E]{{1,{MAX_TOKEN}}}")
# Servers that have left the inventory count, until somebody deletes what was stored for them.
MAX_STORED = 64
REDIS_SECONDS = 3


class Store:
    """The records of everybody: a hash a person, a field a server."""

    def __init__(self, redis: Redis, vault: Vault, keep_seconds: int) -> None:
        self._redis, self._vault, self._keep_seconds = redis, vault, keep_seconds

    async def stored(self, person: str, audiences: dict[str, str]) -> dict[str, int | None]:
        """Return the servers with a credential, and since when; None where it is of no use.

        audiences: what the servers' names stand for now.
        """
        kept = await _answer(self._redis.hgetall(_place(person)))
        # A name that is no text was not written here.
        named = {name.decode(errors="replace"): record for name, record in kept.items()}
        since = self._vault.stored_at
        return {n: since(person, n, kept, audiences.get(n, "")) for n, kept in named.items()}

    async def put(self, person: str, server: str, token: str, audience: str) -> None:
        """Store a credential in the place of the one that is there, if any."""
        place = _place(person)
        if await _answer(self._redis.hlen(place)) >= MAX_STORED and not await _answer(
            self._redis.hexists(place, server)
        ):
            raise Problem("too_many_tokens", 403, count=MAX_STORED)
        record = self._vault.seal(person, server, token, int(time.time()), audience)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(place, server, record)
            pipe.expire(place, self._keep_seconds)
            await _answer(pipe.execute())

    async def delete(self, person: str, server: str) -> None:
        await _answer(self._redis.hdel(_place(person), server))

    async def delete_all(self, person: str) -> int:
        """Delete everything of somebody; return how many there were."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hlen(_place(person))
            pipe.delete(_place(person))
            count, _deleted = await _answer(pipe.execute())
        return int(count)

    async def close(self) -> None:
        await self._redis.aclose()


def build(settings: Credentials) -> Store:
    """Return the store; nothing is asked of Redis yet."""
    try:
        vault = Vault(secret(settings.key_file))
    except ValueError as error:
        raise ConfigError(f"{settings.key_file}: {error}") from None
    options = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    redis = Redis.from_url(secret(settings.redis_url_file), **options)
    return Store(redis, vault, settings.keep_seconds)


def token_of(value: object) -> str:
    """Return a form's token, once it can be sent as it is; a Problem otherwise."""
    token = value.strip() if isinstance(value, str) else ""
    if not _TOKEN.fullmatch(token):
        raise Problem("no_token", 400, count=MAX_TOKEN)
    return token


async def _answer(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except RedisError as error:
        raise Problem("tokens_away", 503, reason=type(error).__name__) from None


def _place(person: str) -> str:
    return f"credentials:{person}"
