"""Where an answer goes: plain JSON, an SSE stream of this request, or the stream of `/sse`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mcp_gateway.call import Call
from mcp_gateway.sse import Frame

Send = Callable[[dict[str, Any]], Awaitable[None]]
PING = b": ping\n\n"
# More than this is sent in pieces, so that a call lasts until its answer was taken.
PIECE_BYTES = 256 * 1024
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class SlowReader(Exception):
    """The client does not read what it asked for."""


class ResponseWriter(Protocol):
    """Takes events, then one final response."""

    can_stream: bool  # events before the response
    can_copy: bool  # a body in pieces, as it comes from elsewhere
    ended: bool

    def add_header(self, name: bytes, value: bytes) -> None:
        """One more header of the answer, where it has a head of its own."""

    def expect_headers(self) -> None:
        """Headers follow: until then nothing may send the head."""

    async def event(self, frame: Frame) -> None: ...

    async def final(
        self, data: bytes, status: int = 200, event_id: bytes | None = None
    ) -> None: ...

    async def end(self) -> None:
        """End without a response (the client resumes elsewhere)."""

    # These only where `can_copy`: the answer is a body of its own.
    async def begin_copy(self, status: int) -> None:
        """A JSON body follows in pieces."""

    async def start_stream(self) -> None:
        """An event stream follows."""

    async def write(self, data: bytes) -> None:
        """Bytes of the body; SlowReader when the client does not take them in time."""

    async def ping(self) -> None:
        """Keep the connection open through proxies that hate silence."""


class HttpResponseWriter:
    """The response to one POST or GET: JSON when nothing precedes it, else a stream."""

    can_copy = True

    def __init__(self, call: Call, send: Send, slow_seconds: float) -> None:
        self.call = call
        self.headers: list[tuple[bytes, bytes]] = []
        self.can_stream = call.accepts_stream
        self.started = False
        self.ended = False
        self._expects_headers = False
        self._is_copy = False
        self._send = send
        self._slow = slow_seconds
        self._lock = asyncio.Lock()

    def add_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def expect_headers(self) -> None:
        self._expects_headers = True  # a ping would send the head without them

    async def event(self, frame: Frame) -> None:
        if self.can_stream:
            await self.write(frame.encode())

    async def begin_copy(self, status: int) -> None:
        self.started = self._is_copy = True
        headers = [(b"content-type", b"application/json"), *self.headers]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def final(self, data: bytes, status: int = 200, event_id: bytes | None = None) -> None:
        if self._is_copy:
            self.ended = True  # half an answer cannot be mended: the connection closes
        elif self.started:
            await self.write(Frame(data, event_id).encode())
            await self.end()
        else:
            await self.plain(status, data, b"application/json")

    async def plain(self, status: int, data: bytes, content_type: bytes | None) -> None:
        """A whole response at once."""
        headers = [(b"content-length", str(len(data)).encode()), *self.headers]
        if content_type is not None:
            headers.append((b"content-type", content_type))
        self.started = self.ended = True
        self.call.bytes_out += len(data)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if len(data) > 65536:
            await self._patiently(data, more=False)
        else:
            await self._send({"type": "http.response.body", "body": data})

    async def start_stream(self) -> None:
        if not self.started:
            self.started = True
            headers = [*STREAM_HEADERS, *self.headers]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, data: bytes) -> None:
        async with self._lock:
            if self.ended:
                return
            await self.start_stream()
            self.call.bytes_out += len(data)
            await self._patiently(data, more=True)

    async def ping(self) -> None:
        is_too_early = self._expects_headers and not self.started
        if self.can_stream and not (self.ended or self._is_copy or is_too_early):
            await self.write(PING)

    async def end(self) -> None:
        async with self._lock:
            if self.ended:
                return
            await self.start_stream()
            self.ended = True
            await self._send({"type": "http.response.body", "body": b""})

    async def _patiently(self, data: bytes, *, more: bool) -> None:
        """Send piece by piece, as fast as the client takes them."""
        try:
            for start in range(0, len(data), PIECE_BYTES):
                piece = data[start : start + PIECE_BYTES]
                goes_on = more or start + PIECE_BYTES < len(data)
                message = {"type": "http.response.body", "body": piece, "more_body": goes_on}
                async with asyncio.timeout(self._slow):
                    await self._send(message)
        except TimeoutError:
            self.ended = True
            raise SlowReader(f"the client did not read for {self._slow:g} s") from None


class QueueResponseWriter:
    """The answer to a POST of the old HTTP+SSE transport goes to its event stream."""

    can_stream = True
    can_copy = False
    ended = False

    def __init__(self, put: Callable[[Frame], None]) -> None:
        self._put = put

    def add_header(self, name: bytes, value: bytes) -> None:
        """The head of the event stream was sent long ago."""

    def expect_headers(self) -> None:
        """As above."""

    async def event(self, frame: Frame) -> None:
        self._put(frame)

    async def final(self, data: bytes, status: int = 200, event_id: bytes | None = None) -> None:
        self._put(Frame(data, event_id))

    async def end(self) -> None:
        return None

    async def begin_copy(self, status: int) -> None:
        raise NotImplementedError("events hold whole messages")

    async def start_stream(self) -> None:
        """It is open."""

    async def write(self, data: bytes) -> None:
        raise NotImplementedError("events hold whole messages")

    async def ping(self) -> None:
        """The stream is kept open by the request that opened it."""
