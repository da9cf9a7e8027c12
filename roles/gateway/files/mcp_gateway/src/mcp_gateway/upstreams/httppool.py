"""Links to a Streamable HTTP server: legacy sessions, and one stateless link that all share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mcp_gateway.eras import LATEST_LEGACY, LATEST_MODERN
from mcp_gateway.settings import Upstream as UpstreamSettings
from mcp_gateway.upstreams.base import PROBE_SECONDS, Hello, Known, Link, UpstreamError
from mcp_gateway.upstreams.httptransport import HttpTransport
from mcp_gateway.upstreams.pool import GATEWAY_KEY, SHARED_KEY, LinkPool


class HttpLinkPool(LinkPool):
    """Any replica can go on with these: a session's id is all that there is to know."""

    is_connection_bound = False
    control_key = GATEWAY_KEY

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        transport: HttpTransport,
        on_session: Callable[[str, Link], Awaitable[None]],
    ) -> None:
        super().__init__(name, settings)
        self._transport = transport
        self._on_session = on_session

    async def link(self, era: str, key: str, hello: Hello) -> Link:
        if era == "modern":
            key = f"m:{hello.person}" if self._transport.is_personal else SHARED_KEY + era
        return self._of(await super().link(era, key, hello), hello.person)

    def _of(self, link: Link, person: str) -> Link:
        """The link, where credentials are shown only if it is this person's."""
        if not self._transport.is_personal:
            return link
        if link.owner is None or not person or link.owner.person != person:
            text = f"server {self.name}: this session began in the name of somebody else"
            raise UpstreamError("no_person", text)
        return link

    async def _open(self, era: str, key: str, hello: Hello) -> Link:
        if era == "modern":
            return self._transport.modern(hello.person)
        link = await self._transport.initialize(hello)
        link.rewrites_ids = key.startswith(("@", "p:"))
        if not link.rewrites_ids:
            await self._on_session(key, link)
        return link

    async def control(self) -> Link:
        link = self.links.get(GATEWAY_KEY)
        if link is None:
            link, self.eras = await probe(self._transport, self.settings.era)
            self.links[GATEWAY_KEY] = link
        return link

    def adopt(self, key: str, known: Known, caller: str, person: str) -> Link:
        link = self.links.get(key)
        if link is None:
            link = self.links[key] = self._transport.resumed(known, caller, person)
        return self._of(link, person)

    async def _close_transport(self) -> None:
        await self._transport.close()


async def probe(transport: HttpTransport, era: str) -> tuple[Link, frozenset[str]]:
    """A link for the gateway itself (modern where it can be), and the eras the server speaks."""
    modern = legacy = None
    if era != "legacy":
        modern = await transport.discover(Hello(LATEST_MODERN))
    if era == "legacy" or (era == "auto"):
        try:
            hello = Hello(LATEST_LEGACY, capabilities=b"{}")
            legacy = await transport.initialize(hello, timeout=PROBE_SECONDS, is_own=True)
        except UpstreamError:
            if modern is None:
                raise
    chosen = modern or legacy
    if chosen is None:
        raise UpstreamError("era", f"server {transport.name} does not speak {LATEST_MODERN}")
    if modern is not None and legacy is not None:
        await legacy.close()
    chosen.rewrites_ids = chosen.era == "legacy"
    eras = frozenset(link.era for link in (modern, legacy) if link is not None)
    return chosen, eras
