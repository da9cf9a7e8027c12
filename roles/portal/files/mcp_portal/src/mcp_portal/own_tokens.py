"""The page on which people store credentials of their own for tool servers, or connect them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mcp_portal import sessions
from mcp_portal.connections import Connections
from mcp_portal.credentials import Store, token_of
from mcp_portal.pages import HEADERS, PREFIX, page
from mcp_portal.people import Person
from mcp_portal.portal import NotSignedIn, Portal
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
        store = self._open()
        stored = await store.stored(person.id)
        servers = self._portal.site.servers
        rows = [(n, servers.get(n, ""), n in stored, day(stored.get(n))) for n in self._audiences]
        left = [name for name in stored if name not in self._audiences]
        return page(request, NAME, rows=rows, left=left, connections=store.connections)

    async def store(self, request: Request) -> Response:
        person, server = await self._form(request)
        if server not in self._audiences or server in self._open().connections:
            raise Problem("no_page", 404)
        token = token_of((await request.form()).get("token"))
        await self._open().put(person.id, server, token)
        return _back()

    async def connect(self, request: Request) -> Response:
        """A page that leads somebody to where a server's own sign-in asks them.

        A form may not lead there by itself: browsers hold the policy of its page against wherever
        the server's sign-in goes on to.
        """
        _person, server = await self._form(request)
        url = await self._connections(server).start(request, server)
        return page(request, "connection", server=server, url=url)

    async def callback(self, request: Request) -> Response:
        """Store what a server handed out for whoever comes back from there."""
        server = request.path_params["server"]
        person, session = self._portal.signed_in(request)
        connections = self._connections(server)
        grant = await connections.finish(request, server)
        if await sessions.has_ended(self._portal.store, session):
            # Whoever ended it may have deleted what the person stored meanwhile.
            if connections.can_revoke(server):
                await connections.revoke(server, grant)
            raise NotSignedIn(NAME)
        await self._open().put(person.id, server, msgspec.json.encode(grant).decode())
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

    def _connections(self, server: str) -> Connections:
        connections = self._open().connections
        if server not in connections:
            raise Problem("no_page", 404)
        return connections

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
