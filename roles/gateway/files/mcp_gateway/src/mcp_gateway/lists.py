"""The aggregated lists: from the catalog, filtered for the caller, page by page."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from mcp_gateway import envelope
from mcp_gateway.call import Call
from mcp_gateway.catalog import Item
from mcp_gateway.eras import LIST_MEMBER
from mcp_gateway.identify import Principal
from mcp_gateway.refusal import Refusal

if TYPE_CHECKING:
    from mcp_gateway.gateway import Gateway

MAX_VIEWS = 500
TTL_MS = 5000


class Lists:
    """Remembers, for each caller and generation of the catalog, what the caller sees."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._views: dict[tuple[str, Principal], tuple[int, list[Item]]] = {}

    def visible(self, who: Principal, member: str) -> list[Item]:
        """The items of one kind that `who` may use, in their stable order."""
        generation = self._gateway.catalog.generation
        known = self._views.get((member, who))
        if known is not None and known[0] == generation:
            return known[1]
        kind = "resources" if member == "resourceTemplates" else member
        items = [
            item
            for item in self._gateway.catalog.by_name[member].values()
            if self._gateway.allows(who, item.server, kind, item.name).allowed
        ]
        if len(self._views) >= MAX_VIEWS:
            self._views.clear()
        self._views[member, who] = (generation, items)
        return items

    def answer(self, call: Call) -> bytes:
        """The response to an aggregated list request."""
        member = LIST_MEMBER[call.method]
        items = self.visible(call.who, member)
        start = self._start(call, items)
        size = self._gateway.config.limits.list_page_size
        page = items[start : start + size]
        result: dict[str, object] = {member: [item.body for item in page]}
        if start + size < len(items):
            result["nextCursor"] = base64.urlsafe_b64encode(page[-1].exposed.encode()).decode()
        return envelope.result(call.id, _complete(call, result))

    def last_known(self, call: Call) -> bytes | None:
        """A server's last good list in its own words; None when there is none to give."""
        listing = self._gateway.upstreams[call.server].listing
        member = LIST_MEMBER.get(call.method)
        if member is None or not listing.fetched_at or "cursor" in call.msg.params:
            return None
        kind = "resources" if member == "resourceTemplates" else member
        items = [
            item.body
            for item in listing.items.get(member, ())
            if self._gateway.allows(call.who, call.server, kind, item.name).allowed
        ]
        return envelope.result(call.id, _complete(call, {member: items}))

    def _start(self, call: Call, items: list[Item]) -> int:
        """Where the page begins: after the item that the cursor names, even if it is gone."""
        raw = call.msg.params.get("cursor")
        if raw is None or raw == envelope.RAW_NULL:
            return 0
        try:
            last = base64.urlsafe_b64decode(envelope.text(raw) or "!").decode()
        except (binascii.Error, ValueError):
            last = ""
        if not last:
            raise Refusal("cursor", 400, envelope.INVALID_PARAMS, "unknown cursor")
        for index, item in enumerate(items):
            if item.exposed == last:
                return index + 1
        following = [i for i, item in enumerate(items) if item.exposed > last]
        return following[0] if following else len(items)


def _complete(call: Call, result: dict[str, object]) -> dict[str, object]:
    """With what the modern era expects beside the items."""
    if call.era == "modern":
        result |= {"resultType": "complete", "ttlMs": TTL_MS, "cacheScope": "private"}
    return result


def filtered(result: msgspec.Raw, method: str, keep: object) -> envelope.Fields:
    """A single server's list without what the caller may not use."""
    member = LIST_MEMBER[method]
    name = {"resources": "uri", "resourceTemplates": "uriTemplate"}.get(member, "name")
    fields = envelope.fields_of(result)
    items = msgspec.json.decode(fields.get(member, b"[]"), type=list[msgspec.Raw])
    kept = [i for i in items if keep(envelope.text(envelope.fields_of(i).get(name)))]  # type: ignore[operator]
    fields[member] = envelope.raw(kept)
    return fields
