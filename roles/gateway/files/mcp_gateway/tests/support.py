"""What the tests share: a gateway on a real socket, upstreams that behave and that do not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from mcp_gateway import listener
from mcp_gateway.config import parse
from mcp_gateway.gateway import Gateway

HERE = Path(__file__).parent
SDK_SERVER = str(HERE / "servers" / "sdk_server.py")
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "sampling": {}},
}
ACCEPT = "application/json, text/event-stream"
KEY = "sk-a-key-of-the-tests"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port that no other program is given by chance; a listener may take it all the same."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def until(check: Callable[[], Any], what: str, seconds: float = 15) -> Any:
    """Wait until `check` is true; an error that names what did not happen."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = check()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"did not happen within {seconds} s: {what}")
        await asyncio.sleep(0.01)


class Running:
    """A gateway that listens, and shortcuts to talk to it."""

    def __init__(self, gateway: Gateway, port: int, server: uvicorn.Server) -> None:
        self.gateway = gateway
        self.port = port
        self.server = server
        self.base = f"http://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=self.base, timeout=20)

    async def up(self, *names: str) -> None:
        """Until these servers (or all) answered."""
        for name in names or self.gateway.upstreams:
            upstream = self.gateway.upstreams[name]
            await until(lambda u=upstream: u.is_up, f"{name} is up: {upstream.breaker.last_error}")

    def audit(self) -> list[dict[str, Any]]:
        """The audit lines so far."""
        self.gateway.recorder.audit.flush()
        path = self.gateway.config.audit.file
        return [json.loads(line) for line in Path(path).read_text().splitlines()]


@contextlib.asynccontextmanager
async def gateway(
    upstreams: dict[str, Any] | None = None, port: int | None = None, **sections: Any
) -> AsyncIterator[Running]:
    """A gateway on a free port; `auth: {none: true}` unless told otherwise."""
    port = port or free_port()
    raw = {"auth": {"none": True}, "audit": {"file": os.devnull}, **sections}
    raw["listen"] = {"port": port, **sections.get("listen", {})}
    raw["upstreams"] = upstreams or {}
    state = Gateway(parse(raw))
    config = listener.configuration(state)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await state.start()
    await server.startup()
    running = Running(state, port, server)
    try:
        yield running
    finally:
        await running.http.aclose()
        await _close(server)
        await state.stop()


async def _close(server: uvicorn.Server) -> None:
    """The listener and every connection at once; uvicorn's own end takes a fifth of a second."""
    for opened in server.servers:
        opened.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    tasks = list(server.server_state.tasks)
    if tasks:
        await asyncio.wait(tasks, timeout=5)
    for task in tasks:
        task.cancel()


def stdio(*extra: str, **options: Any) -> dict[str, Any]:
    """A stdio upstream on the official SDK."""
    return {
        "type": "stdio",
        "command": sys.executable,
        "args": [SDK_SERVER, "stdio", *extra],
        "refresh_seconds": 300,
        **options,
    }


def plain(**options: Any) -> dict[str, Any]:
    """A stdio upstream in plain Python: quick to start, legacy."""
    return {
        "type": "stdio",
        "command": sys.executable,
        "args": ["-S", str(HERE / "servers" / "plain_server.py")],
        "refresh_seconds": 300,
        **options,
    }


def http(url: str, **options: Any) -> dict[str, Any]:
    return {"type": "http", "url": url, "refresh_seconds": 300, **options}


class SdkProcess:
    """A tool server on the official SDK, over HTTP, in a process of its own."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.process = subprocess.Popen(
            [sys.executable, SDK_SERVER, "http", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def is_listening(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    async def ready(self) -> SdkProcess:
        await until(self.is_listening, "the SDK server listens")
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Modern:
    """A bare client of the modern era: what it sends is what you see."""

    def __init__(self, running: Running, path: str = "/mcp", key: str | None = None) -> None:
        self.http = running.http
        self.path = path
        self.headers = {"authorization": f"Bearer {key}"} if key else {}
        self._id = 0

    def build(self, method: str, params: dict[str, Any] | None = None, **meta: Any) -> Any:
        self._id += 1
        body = dict(params or {})
        body["_meta"] = {**META, **meta, **body.get("_meta", {})}
        headers = {
            "accept": ACCEPT,
            "mcp-protocol-version": MODERN,
            "mcp-method": method,
            **self.headers,
        }
        member = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(method)
        if member and isinstance(body.get(member), str):
            headers["mcp-name"] = body[member]
        message = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": body}
        return {"json": message, "headers": headers}

    async def send(self, method: str, params: dict[str, Any] | None = None, **meta: Any):
        return await self.http.post(self.path, **self.build(method, params, **meta))

    async def ask(self, method: str, params: dict[str, Any] | None = None, **meta: Any) -> Any:
        """The response message, wherever in the answer it stands."""
        return messages(await self.send(method, params, **meta))[-1]

    async def call(self, tool: str, /, **arguments: Any) -> Any:
        return await self.ask("tools/call", {"name": tool, "arguments": arguments})


class Legacy:
    """A bare client of the legacy era."""

    def __init__(
        self, running: Running, path: str = "/mcp", version: str = "2025-11-25", key: str = ""
    ) -> None:
        self.http = running.http
        self.path = path
        self.version = version
        self.headers: dict[str, str] = {"accept": ACCEPT}
        if key:
            self.headers["authorization"] = f"Bearer {key}"
        self._id = 0

    async def initialize(self, capabilities: dict[str, Any] | None = None) -> Any:
        response = await self.send(
            "initialize",
            {
                "protocolVersion": self.version,
                "capabilities": capabilities or {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        )
        message = messages(response)[-1]
        if "mcp-session-id" in response.headers:
            self.headers["mcp-session-id"] = response.headers["mcp-session-id"]
            self.headers["mcp-protocol-version"] = message["result"]["protocolVersion"]
            await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return message

    async def post(self, message: Any) -> httpx.Response:
        return await self.http.post(self.path, json=message, headers=self.headers)

    def message(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        self._id += 1
        return {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params or {}}

    async def send(self, method: str, params: dict[str, Any] | None = None) -> httpx.Response:
        return await self.post(self.message(method, params))

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> Any:
        return messages(await self.send(method, params))[-1]

    async def call(self, tool: str, /, **arguments: Any) -> Any:
        return await self.ask("tools/call", {"name": tool, "arguments": arguments})


def messages(response: httpx.Response) -> list[Any]:
    """The JSON-RPC messages of an answer, JSON or SSE."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        return [
            json.loads(line[5:])
            for line in response.text.splitlines()
            if line.startswith("data:") and line[5:].strip()
        ]
    return [response.json()]


async def next_message(lines: Any) -> Any:
    """The next JSON-RPC message of an SSE stream's lines."""
    async for line in lines:
        if line.startswith("data:") and line[5:].strip():
            return json.loads(line[5:])
    raise AssertionError("the stream ended without a message")


def text_of(message: Any) -> str:
    """The first text of a tool's answer; the whole message when there is none."""
    try:
        return message["result"]["content"][0]["text"]
    except (KeyError, IndexError, TypeError):
        raise AssertionError(f"no tool answer: {str(message)[:500]}") from None


Handler = Callable[[dict[str, Any], dict[str, str], asyncio.StreamWriter], Awaitable[None]]


class Scripted:
    """An HTTP upstream whose every byte a test decides."""

    TOOLS = [{"name": "act", "description": "Acts.", "inputSchema": {"type": "object"}}]

    def __init__(
        self,
        on_call: Handler | None = None,
        tools: list[Any] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.on_call = on_call
        self.tls: ssl.SSLContext | None = None
        if certificate is not None:  # the file and its key's
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
        self.on_all: Handler | None = None  # answers everything, from when a test sets it
        self.tools = tools if tools is not None else self.TOOLS
        self.seen: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.port = 0
        self.gone = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}/mcp"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                pairs = (line.split(": ", 1) for line in lines[1:] if ": " in line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                message = json.loads(body) if body else {}
                self.seen.append((message, headers))
                await self._answer(message, headers, writer)
                if writer.is_closing():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(
        self, message: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> None:
        method = message.get("method")
        if self.on_all is not None:
            await self.on_all(message, headers, writer)
        elif method == "server/discover":
            await reply(
                writer,
                message,
                {
                    "resultType": "complete",
                    "supportedVersions": [MODERN],
                    "capabilities": {"tools": {}},
                },
            )
        elif method == "tools/list":
            await reply(writer, message, {"resultType": "complete", "tools": self.tools})
        elif method == "tools/call" and self.on_call is not None:
            await self.on_call(message, headers, writer)
        elif method == "tools/call":
            content = [{"type": "text", "text": "acted"}]
            await reply(writer, message, {"resultType": "complete", "content": content})
        else:
            error = {"code": -32601, "message": "no"}
            body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error})
            await raw(writer, body.encode(), "404 Not Found")


async def reply(writer: asyncio.StreamWriter, message: dict[str, Any], result: Any) -> None:
    """A JSON answer to `message`."""
    await raw(
        writer, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
    )


async def raw(
    writer: asyncio.StreamWriter,
    body: bytes,
    status: str = "200 OK",
    content_type: str = "application/json",
) -> None:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    writer.write(head.encode() + b"\r\n" + body)
    await writer.drain()
