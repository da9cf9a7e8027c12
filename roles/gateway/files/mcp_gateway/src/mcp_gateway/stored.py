"""Credentials that people store at the portal, sent as they are."""

from __future__ import annotations

from mcp_gateway.credentials import Credential, CredentialError, Credentials


class Stored:
    """Those for one server and audience."""

    def __init__(self, server: str, audience: str, credentials: Credentials) -> None:
        self._server, self._audience, self._credentials = server, audience, credentials

    async def get(self, person: str) -> Credential:
        return await self._credentials.store.find(person, self._server, self._audience)

    async def current(self, person: str) -> str:
        return (await self.get(person)).id

    def nobody(self) -> CredentialError:
        return self._credentials.store.nobody(self._server)

    def refused(self, status: int) -> CredentialError:
        return self._credentials.store.refused(self._server, status)
