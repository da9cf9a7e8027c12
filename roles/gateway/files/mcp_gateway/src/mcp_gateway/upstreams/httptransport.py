"""Upstreams over Streamable HTTP: how a link to one begins, in either era."""

from __future__ import annotations

from collections.abc import Callable

from mcp_gateway import envelope
from mcp_gateway.eras import LATEST_LEGACY, LATEST_MODERN
from mcp_gateway.httpclient import Client
from mcp_gateway.personal import Personal
from mcp_gateway.upstreams.base import Hello, Known, Outbound, UpstreamError, final, next_id
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
        personal: Personal | None = None,
    ) -> None:
        self.name = name
        self._client = client
        self._headers = headers
        self._limit = response_bytes
        self._timeout = timeout
        self._tells_caller = tells_caller
        self._personal = personal

    @property
    def is_personal(self) -> bool:
        """Whether each person shows a credential of their own there."""
        return self._personal is not None

    def modern(self, person: str) -> HttpLink:
        """The stateless way in, for a caller."""
        return self._of(person, self._link("modern", LATEST_MODERN))

    def resumed(self, known: Known, caller: str, person: str) -> HttpLink:
        """A session that was opened earlier, perhaps by another replica."""
        link = self._of(person, self._link("legacy", known.version, known.sid))
        link.credential_id = known.credential_id
        link.caller = caller if self._tells_caller else ""
        return link

    def _of(self, person: str, link: HttpLink) -> HttpLink:
        """A caller's link: it shows their own credential, and never the gateway's."""
        if self._personal is not None:
            link.owner = self._personal.owner(person)
        return link

    def _link(self, era: str, version: str, sid: str | None = None) -> HttpLink:
        return HttpLink(self.name, self._client, self._headers, self._limit, era, version, sid)

    async def discover(self, hello: Hello) -> HttpLink | None:
        """The gateway's own modern link, and what it was told; None when the upstream is legacy."""
        link = self._link("modern", LATEST_MODERN)
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

    async def initialize(
        self, hello: Hello, timeout: float | None = None, *, is_own: bool = False
    ) -> HttpLink:
        """A new legacy session: a caller's, or the gateway's own."""
        link = self._link("legacy", hello.version)
        if not is_own:
            self._of(hello.person, link)
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
