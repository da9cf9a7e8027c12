"""Notices that belong to no call, and the open streams that they go to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mcp_gateway import envelope
from mcp_gateway.refusal import Refusal
from mcp_gateway.sse import Frame

Wants = Callable[[str, envelope.Message], bool]
# What waits for a stream's client, one message of any size aside.
MAX_WAITING_BYTES = 32 * 1024 * 1024


class Subscriber:
    """One open stream's inbox; a full inbox means that nobody reads, and ends it."""

    def __init__(self, size: int, wants: Wants, holds: Callable[[int], None] | None = None) -> None:
        self._holds = holds
        self.queue: asyncio.Queue[Frame | None] = asyncio.Queue(size)
        self.wants = wants
        self.overflowed = False
        self._waiting_bytes = 0

    def put(self, frame: Frame | None) -> None:
        if self.overflowed:
            return
        size = len(frame.data) if frame is not None else 0
        has_room = not self._waiting_bytes or self._waiting_bytes + size <= MAX_WAITING_BYTES
        try:
            if not has_room:
                raise asyncio.QueueFull
            self.queue.put_nowait(frame)
            self._count(size)
        except (asyncio.QueueFull, Refusal):
            self.overflowed = True
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(None)
            self._count(-self._waiting_bytes)

    async def get(self) -> Frame | None:
        """The next frame; None at the end."""
        frame = await self.queue.get()
        self._count(-len(frame.data) if frame is not None else 0)
        return frame

    def _count(self, size: int) -> None:
        if self._holds is not None:
            self._holds(self._waiting_bytes + size)
        self._waiting_bytes += size


class Hub:
    """Hands notices that belong to no call to every open stream that wants them."""

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()

    def publish(self, server: str, message: envelope.Message) -> None:
        frame: Frame | None = None
        for subscriber in list(self.subscribers):
            if subscriber.wants(server, message):
                frame = frame or Frame(envelope.encode(message.fields))
                subscriber.put(frame)

    def announce(self, server: str, kinds: set[str]) -> None:
        """Say that a server's lists changed."""
        for kind in sorted({"resources" if k == "resourceTemplates" else k for k in kinds}):
            body = envelope.notification(f"notifications/{kind}/list_changed")
            self.publish(server, envelope.parse(body))

    def end_all(self) -> None:
        """Every stream ends cleanly (the gateway drains)."""
        for subscriber in self.subscribers:
            subscriber.put(None)
