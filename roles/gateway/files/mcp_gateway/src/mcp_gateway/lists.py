"""The aggregated lists: from the catalog, filtered for the caller, page by page."""

from __future__ import annotations

import base64
import binascii

import msgspec

from mcp_gateway import envelope, faults
from mcp_gateway.access import Access
from mcp_gateway.call import Call
from mcp_gateway.catalog import Item
from mcp_gateway.eras import LIST_MEMBER
from mcp_gateway.faults import Fault
from mcp_gateway.identify import Principal
from mcp_gateway.items import read_items
from mcp_gateway.pages import Pages
from mcp_gateway.refusal import Refusal
from mcp_gateway.servers import Servers
from mcp_gateway.settings import Limits

MAX_VIEWS = 500
TTL_MS = 5000


class Lists:
    """Remembers, for each caller and generation of the catalog, what the caller sees."""

    def __init__(self, servers: Servers, access: Access, limits: Limits) -> None:
        self.limits = limits
        self._servers = servers
        self._access = access
        self._views: dict[tuple[str, Principal], tuple[int, list[Item]]] = {}

    def visible(self, who: Principal, member: str) -> list[Item]:
        """The items of one kind that `who` may use, in their stable order."""
        generation = self._servers.catalog.generation
        known = self._views.get((member, who))
        if known is not None and known[0] == generation:
            return known[1]
        kind = policy_kind(member)
        items = [
            item
            for item in self._servers.catalog.by_name[member].values()
            if self._access.allows(who, item.server, kind, item.name).allowed
        ]
        if len(self._views) >= MAX_VIEWS:
            self._views.clear()
        self._views[member, who] = (generation, items)
        return items

    def answer(self, call: Call) -> bytes:
        """The response to an aggregated list request."""
        member = LIST_MEMBER[call.method]
        listings = {u.name: u.listing.faults for u in self._access.view(call)}
        result = self._page(call, member, self.visible(call.who, member))
        result |= self._named(call, member, listings)
        return envelope.result(call.id, _complete(call, result))

    def of_server(self, call: Call, answer: msgspec.Raw, pages: Pages) -> dict[str, object]:
        """A server's own list, whole and checked, without what the caller may not use."""
        limits = self.limits
        items, faults = read_items(call.server, pages.member, pages.items, limits)
        result = self._page(call, pages.member, self._allowed(call, pages.member, items))
        result |= self._named(call, pages.member, {call.server: pages.faults + faults})
        given = envelope.fields_of(answer)
        own = envelope.fields_of(given.get("_meta"))
        if own:
            result["_meta"] = {**own, **result.get("_meta", {})}  # type: ignore[dict-item]
        result = _complete(call, result)
        if call.era == "modern" and bytes(given.get("ttlMs", b"")).isdigit():
            result["ttlMs"] = given["ttlMs"]
        return result

    def last_known(self, call: Call) -> bytes | None:
        """A server's last good list; None when there is none to give."""
        listing = self._servers.upstreams[call.server].listing
        member = LIST_MEMBER.get(call.method)
        if member is None or not listing.fetched_at:
            return None
        items = self._allowed(call, member, listing.items.get(member, []))
        result = self._page(call, member, items)
        result |= self._named(call, member, {call.server: listing.faults})
        return envelope.result(call.id, _complete(call, result))

    def _allowed(self, call: Call, member: str, items: list[Item]) -> list[Item]:
        kind = policy_kind(member)
        allows = self._access.allows
        if kind == "tools":
            items = [i for i in items if self._servers.fingerprints.vouches_for(i)]
        return [i for i in items if allows(call.who, call.server, kind, i.name).allowed]

    def _named(
        self, call: Call, member: str, by_server: dict[str, list[Fault]]
    ) -> dict[str, object]:
        """What is wrong in the lists goes with the first page, for whoever reads it."""
        if "cursor" in call.msg.params or not any(by_server.values()):
            return {}
        kind, allows = policy_kind(member), self._access.allows

        def may_know(server: str, name: str) -> bool:
            return not name or allows(call.who, server, kind, name).allowed

        return faults.meta(by_server, member, may_know)

    def _page(self, call: Call, member: str, items: list[Item]) -> dict[str, object]:
        """One page of the items, and the cursor of the next one."""
        start = self._start(call, items)
        end = start + self.limits.list_page_size
        result: dict[str, object] = {member: [item.body for item in items[start:end]]}
        if end < len(items):
            cursor = f"{end} {items[end - 1].exposed}"
            result["nextCursor"] = base64.urlsafe_b64encode(cursor.encode()).decode()
        return result

    def _start(self, call: Call, items: list[Item]) -> int:
        """Where the page begins: after the item that the cursor names, or where it was."""
        raw = call.msg.params.get("cursor")
        if raw is None or raw == envelope.RAW_NULL:
            return 0
        try:
            cursor = base64.urlsafe_b64decode(envelope.text(raw) or "!").decode()
            position, _, last = cursor.partition(" ")
            end = int(position)
        except (binascii.Error, ValueError):
            raise Refusal("cursor", 400, envelope.INVALID_PARAMS, "unknown cursor") from None
        for index, item in enumerate(items):
            if item.exposed == last:
                return index + 1
        return max(0, min(end - 1, len(items)))


def policy_kind(member: str) -> str:
    """The kind of item that policy knows a list's items as."""
    return "resources" if member == "resourceTemplates" else member


def _complete(call: Call, result: dict[str, object]) -> dict[str, object]:
    """With what the modern era expects beside the items."""
    if call.era == "modern":
        result |= {"resultType": "complete", "ttlMs": TTL_MS, "cacheScope": "private"}
    return result
