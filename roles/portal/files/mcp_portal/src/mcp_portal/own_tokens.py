"""The page on which people store credentials of their own for tool servers."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mcp_portal.credentials import Store, token_of
from mcp_portal.pages import HEADERS, PREFIX, page
from mcp_portal.people import Person
from mcp_portal.portal import Portal
from mcp_portal.problem import Problem

NAME = "credentials"
# How often somebody may change one, in a window of seconds.
CHANGES, CHANGES_SECONDS = 30, 600


class OwnTokens:
    """Lists what somebody stored, takes another in its place, deletes it; it shows none."""

    def __init__(self, portal: Portal, store: Store | None) -> None:
        self._portal, self._store = portal, store

    async def show(self, request: Request) -> Response:
        person, _session = self._portal.signed_in(request)
        stored = await self._open().stored(person.id, self._audiences)
        servers = self._portal.site.servers
        rows = [(n, servers.get(n, ""), n in stored, day(stored.get(n))) for n in self._audiences]
        left = [name for name in stored if name not in self._audiences]
        return page(request, NAME, rows=rows, left=left)

    async def store(self, request: Request) -> Response:
        person, server = await self._form(request)
        if server not in self._audiences:
            raise Problem("no_page", 404)
        token = token_of((await request.form()).get("token"))
        await self._open().put(person.id, server, token, self._audiences[server])
        return _back()

    async def delete(self, request: Request) -> Response:
        """Also for servers that are not there any more."""
        person, server = await self._form(request)
        await self._open().delete(person.id, server)
        return _back()

    async def _form(self, request: Request) -> tuple[Person, str]:
        person, _session = await self._portal.form(request)
        asked = await self._portal.store.count(f"{NAME}:{person.id}", CHANGES_SECONDS)
        if asked > CHANGES:
            raise Problem("too_many", 429)
        return person, str((await request.form()).get("server") or "")

    @property
    def _audiences(self) -> dict[str, str]:
        return self._portal.site.personal

    def _open(self) -> Store:
        if self._store is None:
            raise Problem("no_page", 404)
        return self._store


def day(stored_at: int | None) -> str:
    """As everybody reads it; empty for one that is of no use any more."""
    if stored_at is None:
        return ""
    return datetime.fromtimestamp(stored_at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _back() -> Response:
    return RedirectResponse(f"{PREFIX}/{NAME}", 303, headers=HEADERS)
