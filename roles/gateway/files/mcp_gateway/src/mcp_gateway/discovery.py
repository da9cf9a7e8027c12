"""What a server offers and has to tell, asked over the gateway's own link to it."""

from __future__ import annotations

from mcp_gateway import envelope, lenient
from mcp_gateway.catalog import Listing
from mcp_gateway.eras import LATEST_MODERN, LIST_MEMBER
from mcp_gateway.items import read_items
from mcp_gateway.pages import Pages
from mcp_gateway.settings import Limits
from mcp_gateway.upstreams.base import (
    PROBE_SECONDS,
    Exchange,
    Hello,
    Link,
    Outbound,
    final,
    next_id,
)

CAPABILITY_OF = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resources",
}


async def ping(link: Link, name: str, timeout: float) -> None:
    """Whether the upstream answers at all, whatever it says; UpstreamError when it does not."""
    params: envelope.Fields = {}
    if link.era == "modern":
        params["_meta"] = envelope.raw(Hello(LATEST_MODERN).meta())
    method = "server/discover" if link.era == "modern" else "ping"
    out = Outbound(next_id(), method, params, timeout=min(PROBE_SECONDS, timeout))
    await final(await link.request(out), name)


async def read_listing(
    link: Link, name: str, timeout: float, limits: Limits, last: Listing
) -> Listing:
    """Everything that the upstream says it has; a list that it does not give stays as it was."""
    listing = Listing(info=link.info)
    capabilities = listing.capabilities
    for method, member in LIST_MEMBER.items():
        if CAPABILITY_OF[method] not in capabilities:
            continue
        pages = await _read_pages(link, name, method, timeout, limits)
        if pages.is_list:
            items, faults = read_items(name, member, pages.items, limits)
        else:
            items, faults = last.items.get(member, []), []
        listing.items[member] = items
        listing.faults += pages.faults + faults
    return listing


async def _read_pages(link: Link, name: str, method: str, timeout: float, limits: Limits) -> Pages:
    pages = Pages(method, limits)
    params: envelope.Fields = {}
    if link.era == "modern":
        params["_meta"] = envelope.raw(Hello(LATEST_MODERN).meta())
    while True:
        out = Outbound(next_id(), method, params, timeout=timeout)
        message = await final(await link.request(out), name, lenient.parse)
        if message.result is None:
            pages.refused(message)
            return pages
        cursor = pages.add(message.result)
        if cursor is None:
            return pages
        params["cursor"] = cursor


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
