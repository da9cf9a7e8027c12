"""Upstreams over Streamable HTTP: how a link to one begins, in either era."""

from __future__ import annotations

from collections.abc import Callable

from mcp_gateway import envelope
from mcp_gateway.eras import LATEST_LEGACY, LATEST_MODERN
from mcp_gateway.httpclient import Client
from mcp_gateway.upstreams.base import Hello, Outbound, UpstreamError, final, next_id
from mcp_gateway.upstreams.streamable import HttpLink


class HttpTransport:
    """Opens links to one Streamable HTTP upstream."""

    def __init__(
        self,
        name: str,
        client: Client,
        headers: Callable[[], list[tuple[str, str]]],
        response_bytes: int,
        timeout: float,
        tells_caller: bool = False,
    ) -> None:
        self.name = name
        self._client = client
        self._headers = headers
        self._limit = response_bytes
        self._timeout = timeout
        self._tells_caller = tells_caller

    def modern(self) -> HttpLink:
        """The stateless way in."""
        return self._link("modern", LATEST_MODERN)

    def resumed(self, sid: str | None, version: str, caller: str) -> HttpLink:
        """A session that was opened earlier, perhaps by another replica."""
        link = self._link("legacy", version, sid)
        link.caller = caller if self._tells_caller else ""
        return link

    def _link(self, era: str, version: str, sid: str | None = None) -> HttpLink:
        return HttpLink(self.name, self._client, self._headers, self._limit, era, version, sid)

    async def discover(self, hello: Hello) -> HttpLink | None:
        """A modern link with what `server/discover` told; None when the upstream is legacy."""
        link = self.modern()
        params: envelope.Fields = {"_meta": envelope.raw(hello.meta())}
        out = Outbound(next_id(), "server/discover", params, timeout=self._timeout)
        try:
            message = await final(await link.request(out), self.name)
        except UpstreamError as error:
            if error.kind in ("status", "session_lost", "protocol"):
                return None
            raise
        info = envelope.fields_of(message.result)
        versions = envelope.fields_of(message.result).get("supportedVersions")
        if versions is None or LATEST_MODERN.encode() not in bytes(versions):
            return None
        link.info = info
        return link

    async def initialize(self, hello: Hello, timeout: float | None = None) -> HttpLink:
        """A new legacy session."""
        link = self._link("legacy", hello.version)
        link.caller = hello.caller if self._tells_caller else ""
        out = Outbound(
            next_id(), "initialize", hello.initialize_params(), timeout=timeout or self._timeout
        )
        exchange = await link.request(out)
        message = await final(exchange, self.name)
        if message.error is not None or message.result is None:
            raise UpstreamError(
                "initialize", f"server {self.name} refused to initialize: {_reason(message)}"
            )
        link.info = envelope.fields_of(message.result)
        link.sid = exchange.sid
        link.version = envelope.text(link.info.get("protocolVersion")) or LATEST_LEGACY
        await link.notify(envelope.notification("notifications/initialized"))
        return link

    async def close(self) -> None:
        self._client.close()


def _reason(message: envelope.Message) -> str:
    return envelope.text(envelope.fields_of(message.error).get("message")) or "no reason given"
