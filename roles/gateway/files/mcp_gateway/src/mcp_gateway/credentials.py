"""People's own credentials for tool servers, looked up anew for each request.

Nothing is kept here: one that was deleted is gone for every replica with the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict

from mcp_gateway.ownheader import is_token
from mcp_gateway.settings import Credentials as Settings
from mcp_gateway.upstreams.base import UpstreamError
from mcp_gateway.vault import Vault, place

log = logging.getLogger("mcp_gateway.credentials")
REDIS_SECONDS = 2.0
# Records of people who go on using them are kept; it is enough to say so now and then.
RENEW_SECONDS = 3600.0
RENEW_AGAIN_SECONDS = 60.0
MAX_RENEWED = 10_000
WARN_SECONDS = 10.0
# Nobody can say whether somebody has one.
AWAY = "credential_store"


class CredentialError(UpstreamError):
    """A request cannot be sent in its caller's name; `url` is where they can change that."""

    def __init__(self, kind: str, message: str, url: str) -> None:
        super().__init__(kind, message)
        self.url = url

    @property
    def is_refusal(self) -> bool:
        """Whether it is the caller's to change: no failure of the server, and no alert."""
        return self.kind != AWAY


class Credential:
    """Somebody's credential; `id` tells it from those that were stored before and after it."""

    __slots__ = ("id", "token")

    def __init__(self, id_: str, token: str) -> None:
        self.id, self.token = id_, token

    def __repr__(self) -> str:
        return f"Credential({self.id})"


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
        self._lookups += 1
        self._is_idle.clear()
        try:
            return await self._find(person, server, audience)
        finally:
            self._lookups -= 1
            if not self._lookups:
                self._is_idle.set()

    async def _find(self, person: str, server: str, audience: str) -> Credential:
        try:
            async with asyncio.timeout(self._seconds):
                kept = await self._redis.hget(place(person), server)
        except Exception as error:
            self._warn("cannot be read", error)
            raise CredentialError(
                AWAY,
                f"your credential for server {server} cannot be read now; try again in a minute",
                self.page_url,
            ) from None
        if kept is None:
            raise self._missing(server, "none is stored")
        await self._renew(person)
        token = self._vault.open(person, server, kept, audience)
        if token is None or not is_token(token):
            why = "the one that is stored was for another address, or cannot be read any more"
            raise self._missing(server, why)
        return Credential(hashlib.sha256(kept).hexdigest()[:16], token)

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

    def _missing(self, server: str, why: str) -> CredentialError:
        text = (
            f"server {server} needs a credential of your own, and {why}: store one at "
            f"{self.page_url} and call again"
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
