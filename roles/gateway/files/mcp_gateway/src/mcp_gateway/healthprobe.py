"""Calls that failed after they were sent: is the server in trouble, or was it that call alone?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mcp_gateway import discovery
from mcp_gateway.control import ControlLink
from mcp_gateway.upstreams.base import REFUSED, Breaker, SessionLost, UpstreamError


class HealthProbe:
    """Collects such failures and asks the server itself, over the gateway's own link.

    One caller can make a tool crash or hang as often as it likes. That opens the breaker for
    everybody only when the server does not answer the gateway either.
    """

    def __init__(
        self,
        name: str,
        timeout: float,
        breaker: Breaker,
        control: ControlLink,
        on_down: Callable[[], None],
        *,
        may_refuse: bool = False,
    ) -> None:
        self._name = name
        self._timeout = timeout
        self._breaker = breaker
        self._control = control
        self._on_down = on_down
        self._may_refuse = may_refuse  # where the gateway itself may have nothing to show
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def report(self, reason: str) -> None:
        """A call failed for `reason`; it counts once the server fails to answer the gateway."""
        self._failures += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(reason), name=f"probe {self._name}")

    @property
    def is_running(self) -> bool:
        """Whether the server is being asked right now."""
        return self._task is not None

    async def _run(self, reason: str) -> None:
        try:
            is_alive = await self._answers()
        finally:
            failures, self._failures, self._task = self._failures, 0, None
        if is_alive:
            self._breaker.succeeded()
            return
        for _ in range(failures):
            self._breaker.failed(reason)
        self._on_down()

    async def _answers(self) -> bool:
        """Whether the server says anything at all to the gateway."""
        try:
            await self._control.restart_pause()
            try:
                await self._ping()
            except SessionLost:
                await self._control.reset()
                await self._ping()
        except UpstreamError as error:
            await self._control.reset()
            return self._may_refuse and error.kind == REFUSED
        return True

    async def _ping(self) -> None:
        await discovery.ping(await self._control.link(), self._name, self._timeout)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
