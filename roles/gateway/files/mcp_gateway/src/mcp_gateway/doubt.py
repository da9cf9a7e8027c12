"""Calls that failed after they were sent: is the server in trouble, or was it that call alone?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mcp_gateway import survey
from mcp_gateway.upstreams.base import SessionLost, UpstreamError

if TYPE_CHECKING:
    from mcp_gateway.upstream import Upstream


class Doubts:
    """Collects such failures and asks the server itself, over the gateway's own link.

    One caller can make a tool crash or hang as often as it likes. That opens the breaker for
    everybody only when the server does not answer the gateway either.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def add(self, reason: str) -> None:
        """A call failed for `reason`; it counts once the server fails to answer the gateway."""
        self._count += 1
        if self._task is None:
            name = f"probe {self._upstream.name}"
            self._task = asyncio.create_task(self._settle(reason), name=name)

    @property
    def is_asking(self) -> bool:
        """Whether a probe is under way."""
        return self._task is not None

    async def _settle(self, reason: str) -> None:
        try:
            alive = await self._answers()
        finally:
            count, self._count, self._task = self._count, 0, None
        if alive:
            self._upstream.breaker.succeeded()
            return
        for _ in range(count):
            self._upstream.breaker.failed(reason)
        self._upstream.touch()

    async def _answers(self) -> bool:
        """Whether the server says anything at all to the gateway."""
        upstream = self._upstream
        try:
            await upstream.restart_pause()
            try:
                await survey.ping(await upstream.control(), upstream.name, upstream.timeout)
            except SessionLost:
                await upstream.forget_control()
                await survey.ping(await upstream.control(), upstream.name, upstream.timeout)
        except UpstreamError:
            await upstream.forget_control()
            return False
        return True

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
