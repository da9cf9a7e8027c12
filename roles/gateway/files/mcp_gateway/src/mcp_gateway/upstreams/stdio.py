"""Upstreams that are a command on this machine, spoken to over its pipes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable

from mcp_gateway import envelope
from mcp_gateway.upstreams.base import Hello, UpstreamError
from mcp_gateway.upstreams.channel import Channel

log = logging.getLogger("mcp_gateway.stdio")
# What a child may know of the gateway's own environment; everything else must be configured.
INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    # Whom programs trust: each kind asks in its own way.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "JAVA_TOOL_OPTIONS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
GRACE_SECONDS = 3.0


class _Pipes(asyncio.SubprocessProtocol):
    """Splits stdout into lines and logs stderr."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.channel: Channel | None = None
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.on_exit: Callable[[int], None] | None = None
        self._out = bytearray()
        self._scanned = 0
        self._skipping = False
        self._transport: asyncio.SubprocessTransport | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            for line in data.decode("utf-8", "replace").splitlines()[:20]:
                if line.strip():
                    shown = "".join(c if c.isprintable() else "?" for c in line[:500])
                    log.info("%s: %s", self.name, shown)
            return
        self._out += data
        start = 0
        while (end := self._out.find(b"\n", max(start, self._scanned))) >= 0:
            line = bytes(self._out[start:end])
            start = end + 1
            self._scanned = start
            if self._skipping:
                self._skipping = False
            elif line.strip() and self.channel is not None:
                self.channel.received(line)
        del self._out[:start]
        self._scanned = len(self._out)
        if len(self._out) > self.limit:
            self._out.clear()
            self._scanned = 0
            self._skipping = True
            if self.channel is not None:
                self.channel.lost(f"sent a line of more than {self.limit} bytes")
            if self._transport is not None:
                self._transport.kill()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def process_exited(self) -> None:
        code = self._transport.get_returncode() if self._transport else None
        self.writable.set()
        if self.channel is not None:
            self.channel.lost(f"the command exited with code {code}")
        if not self.exited.done():
            self.exited.set_result(code if code is not None else -1)
        if self.on_exit is not None:
            self.on_exit(code if code is not None else -1)


class StdioTransport:
    """Starts the command and opens channels to it."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str | None,
        response_bytes: int,
        timeout: float,
    ) -> None:
        self.name = name
        self._argv = argv
        self._env = {k: os.environ[k] for k in INHERITED if k in os.environ} | env
        self._cwd = cwd
        self._limit = response_bytes
        self._timeout = timeout

    async def open(
        self,
        hello: Hello,
        era: str,
        unrelated: Callable[[envelope.Message], None],
        on_exit: Callable[[int], None],
    ) -> Channel:
        """A started, initialized server process."""
        transport, pipes = await self._start()
        stdin = transport.get_pipe_transport(0)

        async def transmit(body: bytes) -> None:
            await self._until_writable(pipes)
            # A line break in what a client sent would begin a message that nobody inspected.
            stdin.write(envelope.one_line(body) + b"\n")  # type: ignore[union-attr]

        channel = Channel(self.name, transmit, unrelated, self._timeout)
        channel.on_close = lambda: _stop(transport, pipes)
        pipes.channel = channel
        pipes.on_exit = on_exit
        if pipes.exited.done():  # it was quicker than we
            channel.lost(f"the command exited with code {pipes.exited.result()}")
        try:
            await channel.open(hello, era)
        except BaseException:
            await asyncio.shield(channel.close())
            raise
        return channel

    async def _start(self) -> tuple[asyncio.SubprocessTransport, _Pipes]:
        try:
            return await asyncio.get_running_loop().subprocess_exec(
                lambda: _Pipes(self.name, self._limit),
                *self._argv,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UpstreamError(
                "unreachable", f"server {self.name}: cannot start {self._argv[0]}: {reason}"
            ) from None

    async def _until_writable(self, pipes: _Pipes) -> None:
        if pipes.writable.is_set():
            return
        try:
            async with asyncio.timeout(self._timeout):
                await pipes.writable.wait()
        except TimeoutError:
            raise UpstreamError("timeout", f"server {self.name} does not read its input") from None

    async def close(self) -> None:
        """Nothing is shared between the channels."""


async def _stop(transport: asyncio.SubprocessTransport, pipes: _Pipes) -> None:
    """Close stdin, then ask, then force; the whole process group goes."""
    pid = transport.get_pid()
    stdin = transport.get_pipe_transport(0)
    if stdin is not None:
        stdin.close()
    for step in (None, signal.SIGTERM, signal.SIGKILL):
        if step is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, step)
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await asyncio.shield(pipes.exited)
            break
        except TimeoutError:
            continue
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    transport.close()
