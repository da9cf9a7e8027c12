"""Upstreams that speak the old HTTP+SSE transport (2024-11-05)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from mcp_gateway import envelope
from mcp_gateway.httpclient import Client
from mcp_gateway.httpconnection import HttpError
from mcp_gateway.sse import FrameTooLarge, Parser
from mcp_gateway.upstreams.base import Hello, UpstreamError
from mcp_gateway.upstreams.channel import Channel


class SseTransport:
    """Opens channels: a GET stream for answers, POSTs for everything else."""

    def __init__(
        self,
        name: str,
        client: Client,
        headers: Callable[[], list[tuple[str, str]]],
        response_bytes: int,
        timeout: float,
    ) -> None:
        self.name = name
        self._client = client
        self._headers = headers
        self._limit = response_bytes
        self._timeout = timeout

    async def open(
        self,
        hello: Hello,
        era: str,
        unrelated: Callable[[envelope.Message], None],
        on_exit: Callable[[int], None],
    ) -> Channel:
        """A connected, initialized channel. This transport exists in the legacy era only."""
        endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def transmit(body: bytes) -> None:
            await self._post(endpoint.result(), body)

        channel = Channel(self.name, transmit, unrelated, self._timeout)
        reader = asyncio.create_task(self._read(channel, endpoint, on_exit))

        async def stop() -> None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

        channel.on_close = stop
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.shield(endpoint)
            await channel.open(hello, "legacy")
        except TimeoutError:
            await channel.close()
            raise UpstreamError(
                "timeout", f"server {self.name} named no endpoint within {self._timeout:g} s"
            ) from None
        except BaseException:
            await asyncio.shield(channel.close())
            raise
        return channel

    async def _post(self, path: str, body: bytes) -> None:
        headers = [*self._headers(), ("content-type", "application/json")]
        try:
            response = await self._client.request(
                "POST", headers, body, path=path, timeout=self._timeout
            )
            response.close()
        except HttpError as error:
            raise UpstreamError("unreachable", f"server {self.name}: {error}") from None
        if response.status >= 400:
            raise UpstreamError("status", f"server {self.name} answered HTTP {response.status}")

    async def _read(
        self, channel: Channel, endpoint: asyncio.Future[str], on_exit: Callable[[int], None]
    ) -> None:
        reason = "the event stream ended"
        response = None
        try:
            headers = [*self._headers(), ("accept", "text/event-stream")]
            response = await self._client.request("GET", headers, timeout=self._timeout)
            if response.status != 200:
                raise HttpError(f"answered HTTP {response.status}")
            parser = Parser(self._limit)
            while (chunk := await response.chunk()) is not None:
                for frame in parser.feed(chunk):
                    if frame.event == b"endpoint":
                        if not endpoint.done():
                            endpoint.set_result(self._same_origin(frame.data.decode()))
                    elif frame.data:
                        channel.received(frame.data)
        except (HttpError, FrameTooLarge, UnicodeDecodeError) as error:
            reason = str(error)
        finally:
            if response is not None:
                response.close()
            if not endpoint.done():
                endpoint.set_exception(
                    UpstreamError("unreachable", f"server {self.name}: {reason}")
                )
                endpoint.exception()
            channel.lost(reason)
            on_exit(0)

    def _same_origin(self, location: str) -> str:
        """The path to POST to; an upstream may not send the gateway's headers elsewhere."""
        base = f"http://{self._client.authority}{self._client.path}"
        parts = urlsplit(urljoin(base, location))
        if parts.netloc != self._client.authority:
            raise HttpError(f"named an endpoint at another host: {parts.netloc}")
        return parts.path + (f"?{parts.query}" if parts.query else "")

    async def close(self) -> None:
        self._client.close()
