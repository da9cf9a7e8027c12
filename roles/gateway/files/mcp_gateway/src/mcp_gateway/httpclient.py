"""A small streaming HTTP/1.1 client on asyncio and httptools.

Made for one job: many short POSTs and a few long streams to few origins, at little cost. General
clients measured 0.3 ms (aiohttp) to 1.5 ms (httpx) of CPU a call; this one needs below 0.1 ms.
Connections are reused; a response that is not read to its end closes its connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from urllib.parse import urlsplit

import httptools

HIGH_WATER = 256 * 1024
MAX_HEADER_BYTES = 64 * 1024
# Servers commonly close idle connections after 5 s; leave before they do.
IDLE_SECONDS = 4.0


class HttpError(Exception):
    """The exchange failed; `sent` says whether the server may have seen the request."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class _Connection(asyncio.Protocol):
    """One TCP connection, one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.used = 0
        self.idle_since = 0.0
        self._writable: asyncio.Future[None] | None = None
        self._paused_writing = False
        self.reset()

    def reset(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.head_done = False
        self.complete = False
        self.error: str | None = None
        self.chunks: deque[bytes] = deque()
        self.buffered = 0
        self.paused = False
        self._header_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self.parser = httptools.HttpResponseParser(self)

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.complete:
            if self.head_done and self._ends_at_eof():
                self.complete = True
            else:
                self.error = self.error or "the connection was closed before the answer ended"
        self._wake()
        if self._writable and not self._writable.done():
            self._writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.complete:
            self.close()  # nobody asked for these bytes
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail("the upstream switched protocols")
        except httptools.HttpParserError as error:
            self.fail(f"not HTTP: {error}")
        self._wake()

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        if self._writable and not self._writable.done():
            self._writable.set_result(None)

    # httptools callbacks
    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self.fail(f"response headers exceed {MAX_HEADER_BYTES} bytes")
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        if self.status >= 200:
            self.head_done = True

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)
        self.buffered += len(body)
        if self.buffered > HIGH_WATER and not self.paused and self.transport:
            self.paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self.complete = True
        else:
            self.headers = {}

    # used by Response
    def fail(self, reason: str) -> None:
        self.error = self.error or reason
        self.close()

    def close(self) -> None:
        if self.transport and not self.closed:
            self.transport.abort()
        self.closed = True

    def _ends_at_eof(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout: float | None) -> None:
        """Until something arrived; HttpError after `timeout` seconds."""
        self._waiter = waiter = self.loop.create_future()
        timer = self.loop.call_later(timeout, _expire, waiter) if timeout is not None else None
        try:
            await waiter
        except TimeoutError:
            self.close()
            raise HttpError(f"no answer within {timeout:g} s") from None
        finally:
            self._waiter = None
            if timer:
                timer.cancel()

    async def write(self, data: bytes, timeout: float | None) -> None:
        assert self.transport is not None
        self.transport.write(data)
        if self._paused_writing:
            self._writable = self.loop.create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._writable
            except TimeoutError:
                self.close()
                raise HttpError(f"the upstream did not read within {timeout:g} s") from None

    def take(self) -> bytes | None:
        if not self.chunks:
            return None
        data = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self.buffered = 0
        if self.paused and self.transport and not self.closed:
            self.paused = False
            self.transport.resume_reading()
        return data


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


class Response:
    """An answer whose head has arrived; read the body or close it."""

    def __init__(self, client: Client, connection: _Connection) -> None:
        self._client = client
        self._connection: _Connection | None = connection
        self.status = connection.status
        self.headers = connection.headers

    def header(self, name: bytes) -> str | None:
        """The value of a header by its lower-case name."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value is not None else None

    async def chunk(self, timeout: float | None = None) -> bytes | None:
        """The next bytes of the body, None at its end; the timeout bounds the silence."""
        connection = self._connection
        while connection is not None:
            if (data := connection.take()) is not None:
                return data
            if connection.complete:
                self._finish()
                return None
            if connection.error or connection.closed:
                self.close()
                raise HttpError(connection.error or "the connection was closed")
            await connection.wait(timeout)
        return None

    async def read(self, limit: int, timeout: float | None = None) -> bytes:
        """The whole body; HttpError beyond `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while (data := await self.chunk(timeout)) is not None:
            size += len(data)
            if size > limit:
                self.close()
                raise HttpError(f"the answer exceeds {limit} bytes")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            self._client._release(connection)

    def close(self) -> None:
        """Give the connection back if the answer is complete, else close it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.complete and not connection.closed:
            connection.take()
            self._client._release(connection)
        else:
            connection.close()


class Client:
    """Requests to one origin."""

    def __init__(self, url: str, *, ca_file: str | None = None, connect_timeout: float = 5) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.authority = parts.netloc.rpartition("@")[2]
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._connect_timeout = connect_timeout
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()

    async def request(
        self,
        method: str,
        headers: list[tuple[str, str]],
        body: bytes | None = None,
        *,
        path: str | None = None,
        timeout: float | None = 30,
        retry: bool = False,
    ) -> Response:
        """Send a request and wait for the head of the answer.

        `retry` allows one more try on a fresh connection when a reused one turned out dead; only
        for requests that may safely happen twice.
        """
        head = self._head(method, path or self.path, headers, body)
        while True:
            connection = self._reuse()
            reused = connection is not None
            if connection is None:
                connection = await self._connect()
            try:
                return await self._exchange(connection, head, body, timeout)
            except HttpError:
                if retry and reused and not connection.head_done:
                    continue
                raise

    async def _exchange(
        self, connection: _Connection, head: bytes, body: bytes | None, timeout: float | None
    ) -> Response:
        try:
            if body and len(body) > 65536:
                await connection.write(head, timeout)
                await connection.write(body, timeout)
            else:
                await connection.write(head + body if body else head, timeout)
            while not connection.head_done:
                if connection.error or connection.closed:
                    raise HttpError(connection.error or "the connection was closed")
                await connection.wait(timeout)
        except BaseException:
            connection.close()
            self._open.discard(connection)
            raise
        return Response(self, connection)

    def _head(
        self, method: str, path: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> bytes:
        lines = [f"{method} {path} HTTP/1.1\r\nhost: {self.authority}\r\n"]
        for name, value in headers:
            if "\r" in value or "\n" in value:
                raise HttpError(f"header {name} holds a line break", sent=False)
            lines.append(f"{name}: {value}\r\n")
        if body is not None:
            lines.append(f"content-length: {len(body)}\r\n")
        lines.append("\r\n")
        try:
            return "".join(lines).encode("latin-1")
        except UnicodeEncodeError:
            raise HttpError("a header holds characters beyond latin-1", sent=False) from None

    def _reuse(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and now - connection.idle_since < IDLE_SECONDS:
                connection.reset()
                return connection
            connection.close()
            self._open.discard(connection)
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop),
                    self.host,
                    self.port,
                    ssl=self._tls,
                    server_hostname=self.host if self._tls else None,
                )
        except TimeoutError:
            raise HttpError(
                f"{self.host}:{self.port} did not accept within {self._connect_timeout:g} s",
                sent=False,
            ) from None
        except (OSError, ssl.SSLError) as error:
            known = error.errno and not isinstance(error, (ssl.SSLError, socket.gaierror))
            reason = os.strerror(error.errno or 0) if known else str(error)
            raise HttpError(f"{self.host}:{self.port}: {reason}", sent=False) from None
        self._open.add(connection)
        return connection

    def _release(self, connection: _Connection) -> None:
        if connection.closed or not connection.parser.should_keep_alive():
            connection.close()
            self._open.discard(connection)
            return
        connection.idle_since = connection.loop.time()
        self._idle.append(connection)
        if len(self._idle) > 64:
            oldest = self._idle.popleft()
            oldest.close()
            self._open.discard(oldest)

    def close(self) -> None:
        """Drop every connection."""
        for connection in list(self._open):
            connection.close()
        self._open.clear()
        self._idle.clear()
