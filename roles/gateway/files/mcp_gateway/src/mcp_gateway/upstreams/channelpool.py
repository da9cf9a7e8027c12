"""Links that are connections: a process of a command, or an event stream of the old transport."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from mcp_gateway import envelope
from mcp_gateway.eras import LATEST_MODERN
from mcp_gateway.settings import Upstream as UpstreamSettings
from mcp_gateway.upstreams.base import Hello, Link, UpstreamError
from mcp_gateway.upstreams.channel import Channel
from mcp_gateway.upstreams.pool import GATEWAY_KEY, OPEN_CAPABILITIES, SHARED_KEY, LinkPool

log = logging.getLogger("mcp_gateway.upstream")
MAX_BACK_OFF_SECONDS = 30


class ChannelTransport(Protocol):
    """What opens channels."""

    async def open(
        self,
        hello: Hello,
        era: str,
        unrelated: Callable[[envelope.Message], None],
        on_exit: Callable[[int], None],
    ) -> Channel: ...

    async def close(self) -> None: ...


class ChannelPool(LinkPool):
    """Bounds how many there are, and starts one that keeps ending less and less often."""

    is_connection_bound = True

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        transport: ChannelTransport,
        unrelated: Callable[[str, envelope.Message], None],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(name, settings)
        self._transport = transport
        self._unrelated = unrelated
        self._on_end = on_end
        self._restarts = 0
        self._not_before = 0.0

    @property
    def control_key(self) -> str:
        return SHARED_KEY if self.settings.is_shared else GATEWAY_KEY

    async def control(self) -> Link:
        hello = Hello(LATEST_MODERN, capabilities=OPEN_CAPABILITIES)
        return await self.link("any", self.control_key, hello)

    async def _open(self, era: str, key: str, hello: Hello) -> Link:
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise UpstreamError(
                "unreachable", f"server {self.name} ended; it is started again in {wait:.1f} s"
            )
        await self._make_room()
        try:
            channel = await self._transport.open(
                hello,
                self.settings.era,
                lambda message: self._unrelated(key, message),
                lambda code: self._ended(key, code),
            )
        except UpstreamError:
            self._back_off()
            raise
        self.eras = frozenset({channel.era})
        self._restarts = 0
        return channel

    async def _make_room(self) -> None:
        """End the process that was idle for longest when there are too many."""
        own = {k: c for k, c in self.links.items() if not k.startswith("@")}
        opening = sum(1 for k in self._opening if not k.startswith("@")) - 1
        if len(own) + max(opening, 0) < self.settings.max_processes:
            return
        idle = [k for k, c in own.items() if not c.is_busy]
        if not idle:
            raise UpstreamError(
                "busy",
                f"server {self.name} already runs {len(own)} processes (max_processes)",
            )
        await self.drop(min(idle, key=lambda k: own[k].last_used))

    def _ended(self, key: str, code: int) -> None:
        if self.links.pop(key, None) is None:
            return
        log.warning("%s: its process ended with code %s", self.name, code)
        if key in (SHARED_KEY, GATEWAY_KEY):  # a caller's own process holds up nobody else
            self._back_off()
            self._on_end()

    def _back_off(self) -> None:
        wait = min(0.25 * 2**self._restarts, MAX_BACK_OFF_SECONDS)
        self._not_before = time.monotonic() + wait
        self._restarts += 1

    async def restart_pause(self) -> None:
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))

    async def _close_transport(self) -> None:
        await self._transport.close()
