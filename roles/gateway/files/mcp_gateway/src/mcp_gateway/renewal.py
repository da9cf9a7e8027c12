"""Grants that people have an authorization server hand out at the portal; renewed here.

Servers that rotate refresh tokens (RFC 9700, 4.14.2) end a grant whose refresh token comes twice.
So one replica renews, and holds a lock in Redis meanwhile; the others wait for what it stores.
"""

from __future__ import annotations

import asyncio
import logging
import time

from mcp_gateway.credentials import NOT_RENEWED, CredentialError, Credentials, Granted
from mcp_gateway.onceeach import OnceEach
from mcp_gateway.tokenendpoint import TokenEndpoint
from mcp_gateway.tokenrequest import TokenError
from mcp_gateway.vault import Grant

log = logging.getLogger("mcp_gateway.credentials")
# So long before its end a token is renewed: a call that has begun is not refused on its way.
EARLY_SECONDS = 30
# Longer than a token endpoint and three tries at Redis may take: nobody else asks meanwhile.
LOCK_SECONDS = 20
# For what another replica stores.
WAIT_SECONDS = 15.0
POLL_SECONDS = 0.1
STORE_TRIES = 3
# The grant itself is over, as servers say it (RFC 6749, 5.2; GitHub).
ENDED = ("invalid_grant", "bad_refresh_token")


class Renewed:
    """The grants for one server and audience."""

    def __init__(
        self, server: str, audience: str, credentials: Credentials, endpoint: TokenEndpoint
    ) -> None:
        self._server, self._audience, self._credentials = server, audience, credentials
        self._endpoint = endpoint
        self._renewals: OnceEach[str, Granted] = OnceEach(_is_failure)

    async def get(self, person: str) -> Granted:
        found = await self._find(person)
        if not _is_due(found.grant):
            return found
        if not found.grant.refresh_token:
            if _is_over(found.grant):
                raise self._credentials.store.unconnected(
                    self._server, "your connection has expired"
                )
            return found
        try:
            return await self._renewals.get(person, lambda: self._renewed(person))
        except CredentialError as error:
            if _is_failure(error) and not _is_over(found.grant):
                return found  # good for some seconds still, and the server may be back by then
            raise

    async def current(self, person: str) -> str:
        return (await self._find(person)).id

    async def _find(self, person: str) -> Granted:
        return await self._credentials.store.find_grant(person, self._server, self._audience)

    async def _renewed(self, person: str) -> Granted:
        """What is stored, once this replica or another one has renewed it."""
        store, ends_at = self._credentials.store, time.monotonic() + WAIT_SECONDS
        while True:
            if lock := await store.lock(person, self._server, LOCK_SECONDS):
                try:
                    return await self._renew(person)
                finally:
                    await store.unlock(person, self._server, lock)
            if time.monotonic() > ends_at:
                raise self._failed("has been asked for it by another gateway, and nothing came")
            await asyncio.sleep(POLL_SECONDS)
            found = await self._find(person)
            if not _is_due(found.grant):
                return found

    async def _renew(self, person: str) -> Granted:
        """Under the lock: what was found before may have been renewed meanwhile."""
        found = await self._find(person)
        before = found.grant
        if not _is_due(before):
            return found
        form = {"grant_type": "refresh_token", "refresh_token": before.refresh_token}
        try:
            tokens = await self._endpoint.ask(form)
        except TokenError as error:
            if error.code not in ENDED:
                raise self._failed(str(error)) from None
            await self._credentials.store.remove(person, self._server, found)
            raise self._credentials.store.unconnected(
                self._server, "its sign-in has ended your connection"
            ) from None
        grant = Grant(
            id=before.id,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or before.refresh_token,
            expires_at=int(time.time()) + tokens.expires_in if tokens.expires_in else 0,
        )
        await self._replace(person, found, grant)
        return await self._find(person)

    async def _replace(self, person: str, found: Granted, grant: Grant) -> None:
        """Store it, with more than one try: the refresh token that is stored works no more."""
        for left in reversed(range(STORE_TRIES)):
            try:
                store = self._credentials.store  # a reload may have put another in its place
                await store.replace(person, self._server, self._audience, found, grant)
                return
            except CredentialError:
                if not left:
                    raise
                await asyncio.sleep(POLL_SECONDS)

    def _failed(self, reason: str) -> CredentialError:
        log.warning("%s: not renewed: its token endpoint %s", self._server, reason)
        text = (
            f"your connection to server {self._server} cannot be renewed now: its sign-in "
            f"{reason}; try again in a minute"
        )
        return CredentialError(NOT_RENEWED, text, self._credentials.store.page_url)

    def nobody(self) -> CredentialError:
        return self._credentials.store.nobody(self._server)

    def refused(self, status: int) -> CredentialError:
        return self._credentials.store.refused(self._server, status)


def _is_failure(error: Exception) -> bool:
    """Whether the token endpoint is at fault, and the grant may be good."""
    return isinstance(error, CredentialError) and error.kind == NOT_RENEWED


def _is_due(grant: Grant) -> bool:
    return bool(grant.expires_at) and time.time() > grant.expires_at - EARLY_SECONDS


def _is_over(grant: Grant) -> bool:
    return time.time() >= grant.expires_at
