"""Where people's credentials for tool servers are kept: in Redis, from which the gateway reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mcp_portal.connections import Connections
from mcp_portal.problem import Problem
from mcp_portal.settings import ConfigError, Credentials, secret
from mcp_portal.tokens import MAX_TOKEN, is_token
from mcp_portal.vault import Vault

# Servers that have left the inventory count, until somebody deletes what was stored for them.
MAX_STORED = 64
REDIS_SECONDS = 3


class Store:
    """The records of everybody: a hash a person, a field a server.

    audiences: what the servers' names stand for now. connections: servers that hand out tokens
    themselves, where those that are deleted are revoked.
    """

    def __init__(
        self,
        redis: Redis,
        vault: Vault,
        keep_seconds: int,
        audiences: dict[str, str],
        connections: Connections,
    ) -> None:
        self._redis, self._vault, self._keep_seconds = redis, vault, keep_seconds
        self._audiences, self.connections = audiences, connections

    async def stored(self, person: str) -> dict[str, int | None]:
        """Return the servers with a credential, and since when; None where it is of no use."""
        kept = await _answer(self._redis.hgetall(_place(person)))
        # A name that is no text was not written here.
        named = {name.decode(errors="replace"): record for name, record in kept.items()}
        since = self._vault.stored_at
        return {
            name: since(person, name, record, self._audiences.get(name, ""))
            for name, record in named.items()
        }

    async def put(self, person: str, server: str, token: str) -> None:
        """Store a credential in the place of the one that is there, if any.

        token: what a header carries, or of a server that hands out tokens the text of a grant.
        """
        place = _place(person)
        if await _answer(self._redis.hlen(place)) >= MAX_STORED and not await _answer(
            self._redis.hexists(place, server)
        ):
            raise Problem("too_many_tokens", 403, count=MAX_STORED)
        audience = self._audiences[server]
        record = self._vault.seal(person, server, token, int(time.time()), audience)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(place, server, record)
            pipe.expire(place, self._keep_seconds)
            await _answer(pipe.execute())

    async def delete(self, person: str, server: str) -> None:
        """Delete a credential, and revoke it; a Problem where it is deleted but not revoked."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(_place(person), server)
            pipe.hdel(_place(person), server)
            kept, _deleted = await _answer(pipe.execute())
        if kept is not None and not await self._revoke(person, server, kept):
            raise Problem("not_revoked", 502, server=server)

    async def delete_all(self, person: str) -> int:
        """Delete everything of somebody, and revoke it; return how many there were.

        What could not be revoked is in the log.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(_place(person))
            pipe.delete(_place(person))
            kept, _deleted = await _answer(pipe.execute())
        named = {name.decode(errors="replace"): record for name, record in kept.items()}
        await asyncio.gather(*(self._revoke(person, *stored) for stored in named.items()))
        return len(kept)

    async def _revoke(self, person: str, server: str, kept: bytes) -> bool:
        """Revoke what was stored, where its server can; tell whether nothing is left of it."""
        if not self.connections.can_revoke(server):
            return True
        grant = self._vault.grant(person, server, kept, self._audiences.get(server, ""))
        return grant is None or await self.connections.revoke(server, grant)

    async def close(self) -> None:
        await self._redis.aclose()


def build(settings: Credentials, audiences: dict[str, str], callback: str) -> Store:
    """Return the store; nothing is asked of Redis yet.

    callback: below which address servers that hand out tokens lead people back.
    """
    if unknown := sorted(settings.oauth.keys() - audiences.keys()):
        raise ConfigError(f"credentials.oauth has {unknown[0]}, which asks for no credentials")
    try:
        vault = Vault(secret(settings.key_file))
    except ValueError as error:
        raise ConfigError(f"{settings.key_file}: {error}") from None
    options = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    redis = Redis.from_url(secret(settings.redis_url_file), **options)
    connections = Connections(settings.oauth, callback)
    return Store(redis, vault, settings.keep_seconds, audiences, connections)


def token_of(value: object) -> str:
    """Return a form's token, once it can be sent as it is; a Problem otherwise."""
    token = value.strip() if isinstance(value, str) else ""
    if not is_token(token):
        raise Problem("no_token", 400, count=MAX_TOKEN)
    return token


async def _answer(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except RedisError as error:
        raise Problem("tokens_away", 503, reason=type(error).__name__) from None


def _place(person: str) -> str:
    return f"credentials:{person}"
