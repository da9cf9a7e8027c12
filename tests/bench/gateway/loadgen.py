# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bounded load generator: keep-alive connections, one MCP session each, one call at a time each.

Raw asyncio protocols: about 0.05 ms of CPU a call, so that it never is what is measured. Every
answer is checked for its id and for the text that was sent.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

LEGACY = "2025-06-18"
MODERN = "2026-07-28"
CLIENT = {"name": "bench", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
WAIT_SECONDS = 60
STREAM_SECONDS = 5


class LoadError(Exception):
    """An answer that is not what was asked for."""


class Target(NamedTuple):
    """Where and how to call.

    says: what every answer holds; empty for a tool that gives back the text it was sent. ca: a file
    with the authority that an https address is verified with.
    """

    url: str
    tool: str = "echo"
    key: str = ""
    era: str = LEGACY
    says: str = ""
    ca: str = ""


@dataclass
class Result:
    """What one measurement found."""

    calls: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return a latency in milliseconds."""
        if not self.latencies:
            return float("nan")
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Answer(NamedTuple):
    """A whole HTTP answer."""

    status: int
    head: bytes
    body: bytes


def decode(answer: Answer) -> dict:
    """Return the response in an answer, be it JSON or an event stream."""
    if answer.body.startswith(b"{"):
        return json.loads(answer.body)
    for line in answer.body.splitlines():
        if line.startswith(b"data:") and len(line) > 6:
            message = json.loads(line[5:])
            if "id" in message and "method" not in message:
                return message
    raise LoadError(f"no response in {answer.body[:300]!r}")


class Connection(asyncio.Protocol):
    """One keep-alive connection that reads one answer at a time."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.waiting: asyncio.Future[Answer] | None = None
        self.streaming = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(LoadError(f"the connection closed: {exc}"))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        at = self.buffer.find(b"\r\n\r\n")
        if at < 0 or self.waiting is None or self.waiting.done():
            return
        head = bytes(self.buffer[:at])
        body = b"" if self.streaming else _body(head.lower(), self.buffer, at + 4)
        if body is None:
            return
        self.buffer.clear()
        self.waiting.set_result(Answer(int(head[9:12]), head, body))

    async def exchange(self, request: bytes) -> Answer:
        """Send a request and return its whole answer."""
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiting


def _body(head: bytes, buffer: bytearray, start: int) -> bytes | None:
    """Return the complete body, or None while some of it is still to come."""
    at = head.find(b"content-length:")
    if at >= 0:
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        return bytes(buffer[start : start + length]) if len(buffer) - start >= length else None
    if b"transfer-encoding: chunked" not in head:
        return b""  # 202 and 204 may have neither
    if not buffer.endswith(b"0\r\n\r\n"):
        return None
    body = b""
    while True:
        line_end = buffer.find(b"\r\n", start)
        size = int(bytes(buffer[start:line_end]).partition(b";")[0], 16)
        if size == 0:
            return body
        if len(buffer) < line_end + 4 + size:
            return None
        body += buffer[line_end + 2 : line_end + 2 + size]
        start = line_end + 4 + size


class Session:
    """An MCP client on one connection."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.parts = urlsplit(target.url)
        self.session_id = b""
        self.head = b""
        self.is_modern = target.era == MODERN
        self.number = 0
        self.calls = 0

    async def open(self) -> Session:
        """Connect, and do what the era wants before the first call."""
        await self.connect()
        if not self.is_modern:
            await self.initialize()
            await self.post("notifications/initialized", None)
        return self

    async def connect(self) -> None:
        """Open the connection."""
        tls = ssl.create_default_context(cafile=self.target.ca) if self.target.ca else None
        self.connection = await connect(self.parts.hostname, self.parts.port, tls)

    async def initialize(self) -> None:
        """Begin a session of the legacy era."""
        hello = {"protocolVersion": self.target.era, "capabilities": {}, "clientInfo": CLIENT}
        answer = await self.post("initialize", hello)
        self.session_id = _header(answer.head, b"mcp-session-id")

    def request(self, body: bytes, method: str = "", name: str = "", verb: str = "POST") -> bytes:
        """Return the bytes of an HTTP request."""
        lines = [
            f"{verb} {self.parts.path} HTTP/1.1",
            f"host: {self.parts.netloc}",
            "accept: application/json, text/event-stream",
        ]
        if self.target.key:
            lines.append(f"authorization: Bearer {self.target.key}")
        if verb == "POST":
            lines.append("content-type: application/json")
        if method != "initialize":
            lines.append(f"mcp-protocol-version: {self.target.era}")
        if self.is_modern:
            lines.append(f"mcp-method: {method}")
            lines += [f"mcp-name: {name}"] if name else []
        if self.session_id:
            lines.append(f"mcp-session-id: {self.session_id.decode()}")
        head = "\r\n".join(lines).encode()
        return head + b"\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    async def post(self, method: str, params: dict | None, name: str = "") -> Answer:
        """Send one message; LoadError unless it is accepted."""
        self.number += 1
        message: dict = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message |= {"id": self.number, "params": params}
            if self.is_modern:
                params["_meta"] = META
        body = json.dumps(message, separators=(",", ":")).encode()
        async with asyncio.timeout(WAIT_SECONDS):
            answer = await self.connection.exchange(self.request(body, method, name))
        if answer.status not in (200, 202):
            raise LoadError(f"{method}: HTTP {answer.status}: {answer.body[:300]!r}")
        return answer

    async def result(self, method: str, params: dict, name: str = "") -> dict:
        """Send one request and return the decoded response."""
        return decode(await self.post(method, params, name))

    async def open_stream(self) -> None:
        """Turn this connection into the session's open event stream."""
        self.connection.streaming = True
        async with asyncio.timeout(STREAM_SECONDS):
            await self.connection.exchange(self.request(b"", verb="GET"))

    async def call(self) -> None:
        """Call the tool once and check the answer."""
        self.number += 1
        self.calls += 1
        text = b"text-%d" % self.number
        meta = b',"_meta":' + _META_BYTES if self.is_modern else b""
        body = (
            b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s",'
            b'"arguments":{"text":"%s"}%s}}' % (self.number, self.target.tool.encode(), text, meta)
        )
        if not self.head:
            ready = self.request(b"", "tools/call", self.target.tool)
            self.head = ready[: ready.rindex(b"content-length:")]
        request = self.head + b"content-length: %d\r\n\r\n%s" % (len(body), body)
        answer = await self.connection.exchange(request)
        says = self.target.says.encode() or text
        if answer.status != 200 or says not in answer.body or b'"isError":true' in answer.body:
            raise LoadError(f"HTTP {answer.status}: {answer.body[:300]!r}")

    def close(self) -> None:
        """Close the connection."""
        self.connection.transport.close()


_META_BYTES = json.dumps(META, separators=(",", ":")).encode()


async def connect(
    host: str | None, port: int | None, tls: ssl.SSLContext | None = None
) -> Connection:
    """Open a connection."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(Connection, host, port, ssl=tls)
    return protocol


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(name + b":"):
            return line.partition(b":")[2].strip()
    return b""


async def open_sessions(target: Target, count: int, at_once: int = 16) -> list[Session]:
    """Open sessions, a few at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one() -> Session:
        async with gate:
            return await Session(target).open()

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def measure(sessions: list[Session], seconds: float, warm_up: float = 0.0) -> Result:
    """Call on every session, one call at a time each, for so long; CPU is this process's own."""
    if warm_up:
        await measure(sessions, warm_up)
    result = Result()
    started, cpu = time.perf_counter(), time.process_time()
    end = started + seconds

    async def caller(session: Session) -> None:
        now = time.perf_counter()
        while now < end:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await session.call()
            except (LoadError, OSError, TimeoutError) as error:
                result.errors.append(str(error) or type(error).__name__)
                if session.connection.closed or len(result.errors) > 100:
                    return
            before, now = now, time.perf_counter()
            result.latencies.append(now - before)

    await asyncio.gather(*(caller(session) for session in sessions))
    result.seconds = time.perf_counter() - started
    result.cpu_seconds = time.process_time() - cpu
    result.calls = len(result.latencies) - len(result.errors)
    return result
