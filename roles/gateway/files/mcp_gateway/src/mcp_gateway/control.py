"""The gateway's own link to a server: for lists, health probes and change notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mcp_gateway import discovery, envelope
from mcp_gateway.upstreams.base import Link, UpstreamError, parsed
from mcp_gateway.upstreams.pool import GATEWAY_KEY, LinkPool

log = logging.getLogger("mcp_gateway.upstream")


class ControlLink:
    """Opens that link when it is needed, and listens to the notices of the newest one."""

    def __init__(
        self,
        pool: LinkPool,
        on_message: Callable[[str, envelope.Message], None],
        on_new: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._on_message = on_message
        self._on_new = on_new
        self._on_end = on_end
        self._followed: Link | None = None
        self._listener: asyncio.Task[None] | None = None

    async def link(self) -> Link:
        """The link, opened if need be."""
        link = await self._pool.control()
        if link is not self._followed:
            self._follow(link)
            self._on_new()
        return link

    async def restart_pause(self) -> None:
        """Until a process that ended may be started again."""
        await self._pool.restart_pause()

    async def reset(self) -> None:
        """Open the link anew next time; what callers share stays."""
        await self._pool.drop(GATEWAY_KEY, tell=self._pool.is_connection_bound)

    def _follow(self, link: Link) -> None:
        """Listen to this link's notices, and to no other's."""
        if self._listener is not None:
            self._listener.cancel()
        self._followed = link
        name = f"listen {self._pool.name}"
        self._listener = asyncio.create_task(self._listen(link), name=name)

    async def _listen(self, link: Link) -> None:
        """Follow the server's notices for as long as it sends them."""
        key = self._pool.control_key
        try:
            while (exchange := await discovery.notices(link)) is not None:
                while (frame := await exchange.next()) is not None:
                    message = parsed(frame)
                    if message is None:
                        continue
                    if message.error is not None:
                        return  # it has no notices to give
                    self._on_message(key, message)
                await asyncio.sleep(1)  # a server that hangs up at once is not asked in a loop
                self._on_end()
        except UpstreamError as error:
            log.info("%s: notices ended: %s", self._pool.name, error)
            if key == GATEWAY_KEY:
                self._pool.links.pop(key, None)
            self._on_end()

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
