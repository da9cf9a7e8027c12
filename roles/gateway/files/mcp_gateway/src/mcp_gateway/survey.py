"""Finding out about an upstream: which eras it speaks, what it offers, what it has to tell."""

from __future__ import annotations

import contextlib

import msgspec

from mcp_gateway import envelope
from mcp_gateway.catalog import Listing, read_items
from mcp_gateway.eras import LATEST_LEGACY, LATEST_MODERN, LIST_MEMBER
from mcp_gateway.upstreams.base import (
    Exchange,
    Hello,
    Link,
    Outbound,
    UpstreamError,
    final,
    next_id,
)
from mcp_gateway.upstreams.streamable import HttpTransport

MAX_PAGES = 100
PROBE_SECONDS = 10
CAPABILITY_OF = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resources",
}


async def probe(transport: HttpTransport, era: str) -> tuple[Link, frozenset[str]]:
    """A link for the gateway itself (modern where it can be), and the eras the upstream speaks."""
    modern = legacy = None
    if era != "legacy":
        modern = await transport.discover(Hello(LATEST_MODERN))
    if era == "legacy" or (era == "auto"):
        try:
            hello = Hello(LATEST_LEGACY, capabilities=b"{}")
            legacy = await transport.initialize(hello, timeout=PROBE_SECONDS)
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


async def ping(link: Link, name: str, timeout: float) -> None:
    """Whether the upstream answers at all, whatever it says; UpstreamError when it does not."""
    params: envelope.Fields = {}
    if link.era == "modern":
        params["_meta"] = envelope.raw(Hello(LATEST_MODERN).meta())
    method = "server/discover" if link.era == "modern" else "ping"
    out = Outbound(next_id(), method, params, timeout=min(PROBE_SECONDS, timeout))
    await final(await link.request(out), name)


async def read_listing(link: Link, name: str, timeout: float) -> Listing:
    """Everything that the upstream says it has."""
    listing = Listing(info=link.info)
    capabilities = listing.capabilities
    for method, member in LIST_MEMBER.items():
        if CAPABILITY_OF[method] in capabilities:
            raw_items = await _read_list(link, name, method, timeout)
            listing.items[member] = read_items(name, member, raw_items)
    return listing


async def _read_list(link: Link, name: str, method: str, timeout: float) -> list[msgspec.Raw]:
    items: list[msgspec.Raw] = []
    cursor: msgspec.Raw | None = None
    for _ in range(MAX_PAGES):
        params: envelope.Fields = {}
        if link.era == "modern":
            params["_meta"] = envelope.raw(Hello(LATEST_MODERN).meta())
        if cursor is not None:
            params["cursor"] = cursor
        out = Outbound(next_id(), method, params, timeout=timeout)
        message = await final(await link.request(out), name)
        if message.result is None:
            break  # announced but refused: nothing to list
        fields = envelope.fields_of(message.result)
        with contextlib.suppress(msgspec.DecodeError):
            raw = fields.get(LIST_MEMBER[method], b"[]")
            items += msgspec.json.decode(raw, type=list[msgspec.Raw])
        cursor = fields.get("nextCursor")
        if cursor is None or cursor == envelope.RAW_NULL:
            break
    return items


async def notices(link: Link) -> Exchange | None:
    """The stream on which the upstream tells that lists changed; None where it has none."""
    if link.era == "legacy":
        return await link.events()
    wanted = ("toolsListChanged", "promptsListChanged", "resourcesListChanged")
    params = {
        "_meta": envelope.raw(Hello(LATEST_MODERN).meta()),
        "notifications": envelope.raw(dict.fromkeys(wanted, True)),
    }
    out = Outbound(next_id(), "subscriptions/listen", params, timeout=None)
    exchange = await link.request(out)
    if exchange.status != 200:
        exchange.close()
        return None
    return exchange
