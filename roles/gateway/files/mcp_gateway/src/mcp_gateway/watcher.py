"""Resources that somebody wants to hear about, watched once per upstream."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine

from mcp_gateway import envelope
from mcp_gateway.control import ControlLink
from mcp_gateway.eras import LATEST_MODERN
from mcp_gateway.upstreams.base import Hello, Outbound, UpstreamError, final, next_id, parsed


class ResourceWatcher:
    """Subscribes to each wanted URI once, over the gateway's own link to the upstream."""

    def __init__(
        self,
        name: str,
        timeout: float,
        control: ControlLink,
        publish: Callable[[envelope.Message], None],
    ) -> None:
        self._name = name
        self._timeout = timeout
        self._control = control
        self._publish = publish
        self._wanted: Counter[str] = Counter()
        self._stream: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, uri: str) -> None:
        """Somebody wants notices about `uri`; UpstreamError when the upstream refuses."""
        self._wanted[uri] += 1
        if self._wanted[uri] == 1:
            try:
                await self._tell("resources/subscribe", uri)
            except BaseException:
                self._less(uri)
                raise

    def discard(self, uri: str) -> None:
        """Somebody does not want them any more."""
        if self._less(uri) == 0:
            self._run(self._quietly_unsubscribe(uri))

    def _less(self, uri: str) -> int:
        """How many still want it when one does no more."""
        left = max(0, self._wanted[uri] - 1)
        self._wanted[uri] = left
        if not left:
            del self._wanted[uri]
        return left

    async def _quietly_unsubscribe(self, uri: str) -> None:
        with contextlib.suppress(UpstreamError):
            await self._tell("resources/unsubscribe", uri)

    async def _tell(self, method: str, uri: str) -> None:
        link = await self._control.link()
        if link.era == "modern":
            self._restart_stream()
            return
        params = {"uri": envelope.raw(uri)}
        out = Outbound(next_id(), method, params, timeout=self._timeout)
        message = await final(await link.request(out), self._name)
        if message.error is not None and method == "resources/subscribe":
            raise UpstreamError("subscribe", f"server {self._name} does not offer subscriptions")

    def renew(self) -> None:
        """Subscribe again: the upstream, or the way to it, is a new one."""
        if self._wanted:
            self._run(self._renew())

    async def _renew(self) -> None:
        for uri in list(self._wanted):
            with contextlib.suppress(UpstreamError):
                await self._tell("resources/subscribe", uri)

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _restart_stream(self) -> None:
        """Modern servers take the whole list of URIs with one `subscriptions/listen`."""
        if self._stream is not None:
            self._stream.cancel()
        self._stream = asyncio.create_task(self._follow()) if self._wanted else None

    async def _follow(self) -> None:
        with contextlib.suppress(UpstreamError):
            link = await self._control.link()
            params = {
                "_meta": envelope.raw(Hello(LATEST_MODERN).meta()),
                "notifications": envelope.raw({"resourceSubscriptions": sorted(self._wanted)}),
            }
            out = Outbound(next_id(), "subscriptions/listen", params, timeout=None)
            exchange = await link.request(out)
            try:
                while (frame := await exchange.next()) is not None:
                    message = parsed(frame)
                    if message is not None:
                        self._publish(message)
            except asyncio.CancelledError:
                await asyncio.shield(exchange.cancel("other resources are wanted now"))
                raise
            finally:
                exchange.close()

    def stop(self) -> None:
        for task in (self._stream, *self._tasks):
            if task is not None:
                task.cancel()
