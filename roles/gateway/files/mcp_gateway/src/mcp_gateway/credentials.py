"""People's own credentials for tool servers, looked up anew for each request.

Nothing is kept here: one that was deleted is gone for every replica with the next request. A record
is only ever changed in the place of the very one that was read, so that none comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Iterator
from typing import Any

import msgspec

from mcp_gateway.ownheader import is_token
from mcp_gateway.settings import Credentials as Settings
from mcp_gateway.upstreams.base import UpstreamError
from mcp_gateway.vault import Grant, Opened, Vault, place

log = logging.getLogger("mcp_gateway.credentials")
REDIS_SECONDS = 2.0
# Records of people who go on using them are kept; it is enough to say so now and then.
RENEW_SECONDS = 3600.0
RENEW_AGAIN_SECONDS = 60.0
MAX_RENEWED = 10_000
WARN_SECONDS = 10.0
# Nobody can say whether somebody has one.
AWAY = "credential_store"
# A token endpoint gave none, and the caller can do nothing about it.
NOT_RENEWED = "credential_renewal"
# Each only where the record is still the one that was read.
REPLACE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
REMOVE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class CredentialError(UpstreamError):
    """A request cannot be sent in its caller's name; `url` is where they can change that."""

    def __init__(self, kind: str, message: str, url: str) -> None:
        super().__init__(kind, message)
        self.url = url

    @property
    def is_refusal(self) -> bool:
        """Whether it is the caller's to change: no failure of the server, and no alert."""
        return self.kind not in (AWAY, NOT_RENEWED)


class Credential:
    """Somebody's credential; `id` tells it from those that were stored before and after it."""

    __slots__ = ("id", "token")

    def __init__(self, id_: str, token: str) -> None:
        self.id, self.token = id_, token

    def __repr__(self) -> str:
        return f"Credential({self.id})"


class Granted(Credential):
    """One that an authorization server handed out, with the record that it was read from."""

    __slots__ = ("grant", "record", "stored_at")

    def __init__(self, grant: Grant, record: bytes, stored_at: int) -> None:
        super().__init__(grant.id, grant.access_token)
        self.grant, self.record, self.stored_at = grant, record, stored_at


class Store:
    """Redis, where the portal puts them."""

    def __init__(  # type: ignore[no-untyped-def]
        self, settings: Settings, vault: Vault, redis, seconds: float = REDIS_SECONDS
    ) -> None:
        self.page_url = settings.page_url
        self._keep_seconds = settings.keep_seconds
        self._vault, self._redis, self._seconds = vault, redis, seconds
        self._renew_at: OrderedDict[str, float] = OrderedDict()
        self._warned_at = -WARN_SECONDS
        self._lookups = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def find(self, person: str, server: str, audience: str = "") -> Credential:
        """The credential of this person for this server; CredentialError without one.

        `audience` is what the name of the server stands for: what the credential was stored for.
        """
        kept, opened = await self._opened(person, server, audience)
        if opened is None or not is_token(opened.text):
            raise self.missing(server, UNUSABLE if kept else "none is stored")
        return Credential(hashlib.sha256(kept).hexdigest()[:16], opened.text)

    async def find_grant(self, person: str, server: str, audience: str) -> Granted:
        """What an authorization server handed out for this person; CredentialError without it."""
        kept, opened = await self._opened(person, server, audience)
        grant = _grant(opened.text) if opened is not None else None
        if opened is None or grant is None:
            raise self.unconnected(server, UNUSABLE if kept else "you have not connected it")
        return Granted(grant, kept, opened.stored_at)

    async def _opened(self, person: str, server: str, audience: str) -> tuple[bytes, Opened | None]:
        """A record and what is in it; an empty one and None where there is none."""
        with self._busy():
            kept = await self._asked(server, self._redis.hget(place(person), server))
            if not kept:
                return b"", None
            await self._renew(person)
        return kept, self._vault.open(person, server, kept, audience)

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """While this lasts, the connections stay."""
        self._lookups += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._lookups -= 1
            if not self._lookups:
                self._is_idle.set()

    async def _asked(self, server: str, asked: Awaitable[Any]) -> Any:
        try:
            with self._busy():
                async with asyncio.timeout(self._seconds):
                    return await asked
        except Exception as error:
            self._warn("cannot be read", error)
            raise CredentialError(
                AWAY,
                f"your credential for server {server} cannot be read now; try again in a minute",
                self.page_url,
            ) from None

    # changes of a grant, by the one replica that holds its lock
    async def lock(self, person: str, server: str, seconds: int) -> str:
        """Reserve somebody's grant for this replica; what ends that sooner, "" if it is taken."""
        name = secrets.token_hex(8)
        asked = self._redis.set(_lock(person, server), name, nx=True, ex=seconds)
        return name if await self._asked(server, asked) else ""

    async def unlock(self, person: str, server: str, name: str) -> None:
        with contextlib.suppress(CredentialError):  # it ends by itself
            await self._asked(server, self._redis.eval(UNLOCK, 1, _lock(person, server), name))

    async def replace(
        self, person: str, server: str, audience: str, found: Granted, grant: Grant
    ) -> bool:
        """Store a renewed grant; False where the one that was found is not there any more."""
        opened = Opened(msgspec.json.encode(grant).decode(), found.stored_at)
        record = self._vault.seal(person, server, opened, audience)
        args = (place(person), server, found.record, record)
        return bool(await self._asked(server, self._redis.eval(REPLACE, 1, *args)))

    async def remove(self, person: str, server: str, found: Granted) -> None:
        """Delete a grant that its server ended."""
        args = (place(person), server, found.record)
        await self._asked(server, self._redis.eval(REMOVE, 1, *args))

    def _warn(self, what: str, error: Exception) -> None:
        """Say it now and then: callers could fill the log with it."""
        now = time.monotonic()
        if now - self._warned_at >= WARN_SECONDS:
            log.warning("credentials %s: Redis: %s", what, type(error).__name__)
            self._warned_at = now

    async def _renew(self, person: str) -> None:
        """Put off the end of somebody's records, which comes when nobody used them for long.

        A Redis that takes no writes (its disk is full, its replicas are away) can be read.
        """
        now = time.monotonic()
        if now < self._renew_at.get(person, now):
            return
        self._renew_at[person] = now + RENEW_AGAIN_SECONDS
        self._renew_at.move_to_end(person)
        if len(self._renew_at) > MAX_RENEWED:
            self._renew_at.popitem(last=False)
        try:
            async with asyncio.timeout(self._seconds):
                await self._redis.expire(place(person), self._keep_seconds)
        except Exception as error:
            self._warn("in use may end as if nobody used them", error)
            return
        self._renew_at[person] = now + RENEW_SECONDS

    def nobody(self, server: str) -> CredentialError:
        """Somebody calls whom no sign-in vouches for."""
        text = (
            f"server {server} needs a credential of your own, and this key is not that of a person "
            f"who signed in: sign in at {self.page_url}, store one, and use a key from there"
        )
        return CredentialError("no_person", text, self.page_url)

    def missing(self, server: str, why: str) -> CredentialError:
        text = (
            f"server {server} needs a credential of your own, and {why}: store one at "
            f"{self.page_url} and call again"
        )
        return CredentialError("no_credential", text, self.page_url)

    def unconnected(self, server: str, why: str) -> CredentialError:
        text = (
            f"server {server} is used in your own name, and {why}: connect it at {self.page_url} "
            "and call again"
        )
        return CredentialError("no_credential", text, self.page_url)

    def refused(self, server: str, status: int) -> CredentialError:
        """The server does not take what somebody stored."""
        text = (
            f"server {server} answered {status} to the credential that you stored: it has expired, "
            f"was revoked or may do too little; replace it at {self.page_url}"
        )
        return CredentialError("credential_refused", text, self.page_url)

    async def close(self) -> None:
        """Drop the connections, after the look-ups that a reload came upon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._is_idle.wait()
        await self._redis.aclose()


UNUSABLE = "the one that is stored was for another address, or cannot be read any more"


def _grant(text: str) -> Grant | None:
    """The grant in a record, if it is one of which the token can be sent."""
    try:
        grant = msgspec.json.decode(text, type=Grant)
    except (msgspec.DecodeError, ValueError):
        return None
    return grant if is_token(grant.access_token) else None


def _lock(person: str, server: str) -> str:
    """Beside the records, and never one: a person's id has no colon."""
    return f"credentials-lock:{person}:{server}"


class Credentials:
    """The store in use; a reload puts another in its place."""

    def __init__(self) -> None:
        self._store: Store | None = None

    def use(self, store: Store | None) -> None:
        self._store = store

    @property
    def store(self) -> Store:
        if self._store is None:  # the configuration is checked: a server of this kind needs one
            raise CredentialError(AWAY, "no credentials are kept here", "")
        return self._store
