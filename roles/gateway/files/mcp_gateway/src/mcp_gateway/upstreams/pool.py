"""The open links to one server: each opened once, kept while it is used, then closed."""

from __future__ import annotations

import asyncio
import contextlib
import time

from mcp_gateway.settings import Upstream as UpstreamSettings
from mcp_gateway.upstreams.base import Hello, Known, Link, UpstreamError

# Links that belong to no caller: the gateway's own, and one that all callers share.
GATEWAY_KEY = "@gateway"
SHARED_KEY = "@shared"
# A process that does not end by itself is killed before this has passed.
CLOSE_SECONDS = 10.0
# What the gateway can pass on for a caller who is not known yet.
OPEN_CAPABILITIES = b'{"sampling":{},"elicitation":{},"roots":{"listChanged":true}}'


class LinkPool:
    """Links by a key: callers with the same key share one. Subclasses know how to open them."""

    # Whether a link is a connection that this replica holds (a process, an event stream): it speaks
    # one era, no session id stands for it, and it ends with the gateway.
    is_connection_bound: bool

    def __init__(self, name: str, settings: UpstreamSettings) -> None:
        self.name = name
        self.settings = settings
        self.eras: frozenset[str] = frozenset()
        self.links: dict[str, Link] = {}
        self._opening: dict[str, asyncio.Task[Link]] = {}
        self._is_closed = False

    async def link(self, era: str, key: str, hello: Hello) -> Link:
        """The open link for `key`, opened once however many ask for it."""
        link = self.links.get(key)
        if link is not None and link.is_open:
            return link
        if self._is_closed:
            raise self._stopping()
        task = self._opening.get(key)
        if task is None:
            task = asyncio.create_task(self._open_and_keep(era, key, hello))
            self._opening[key] = task
            task.add_done_callback(lambda t: self._opened(key, t))
        await asyncio.wait([task])  # whoever goes away leaves it to the others
        if task.cancelled():
            raise self._stopping()
        return task.result()

    def _stopping(self) -> UpstreamError:
        return UpstreamError("unreachable", f"server {self.name} is stopping")

    def _opened(self, key: str, task: asyncio.Task[Link]) -> None:
        self._opening.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody else needs it

    async def _open_and_keep(self, era: str, key: str, hello: Hello) -> Link:
        link = self.links[key] = await self._open(era, key, hello)
        return link

    async def _open(self, era: str, key: str, hello: Hello) -> Link:
        raise NotImplementedError

    @property
    def control_key(self) -> str:
        """The key of the link over which the gateway itself talks to the server."""
        raise NotImplementedError

    async def control(self) -> Link:
        """That link, opened if need be."""
        raise NotImplementedError

    async def restart_pause(self) -> None:
        """Wait until a link may be opened again after it broke."""

    def adopt(self, key: str, known: Known, caller: str, person: str) -> Link:
        """The link of a session that was opened earlier, perhaps at another replica."""
        raise NotImplementedError

    def has(self, key: str) -> bool:
        """Whether there is an open link for `key` already."""
        link = self.links.get(key)
        return link is not None and link.is_open

    def keep(self, key: str) -> None:
        """Somebody still wants this link, though nothing goes over it."""
        link = self.links.get(key)
        if link is not None:
            link.last_used = time.monotonic()

    async def drop(self, key: str, *, tell: bool = True) -> None:
        """Take a link out; `tell` ends the session (or process) at the server too."""
        link = self.links.pop(key, None)
        if link is not None and tell:
            with contextlib.suppress(UpstreamError):
                await link.close()

    async def drop_idle(self, idle_seconds: float, *, tell: bool) -> None:
        """Drop links of callers that went quiet; a process always ends with its link."""
        limit = time.monotonic() - idle_seconds
        for key, link in list(self.links.items()):
            if not key.startswith("@") and link.last_used < limit:
                await self.drop(key, tell=tell or self.is_connection_bound)

    async def close(self, *, tell: bool) -> None:
        """Drop every link. Without `tell` callers' sessions stay: another replica goes on there.

        What is being opened is not waited for: a server may take minutes, or never answer.
        """
        self._is_closed = True
        if opening := list(self._opening.values()):
            for task in opening:
                task.cancel()
            await asyncio.wait(opening, timeout=CLOSE_SECONDS)
        drops = (
            self.drop(key, tell=tell or key.startswith("@") or self.is_connection_bound)
            for key in list(self.links)
        )
        await asyncio.gather(*drops)
        await self._close_transport()

    async def _close_transport(self) -> None:
        raise NotImplementedError
