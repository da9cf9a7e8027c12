"""The tools that somebody may use, as the gateway itself tells them."""

from __future__ import annotations

from typing import Any

import httpx2

from mcp_portal import __version__
from mcp_portal.problem import Problem

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "intranet-mcp-portal", "version": __version__},
    "io.modelcontextprotocol/clientCapabilities": {},
}
MAX_PAGES = 100


class Tools:
    """The gateway, asked with a key that belongs to the person."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=15, trust_env=False)

    async def listed(self, page_key: str) -> dict[str, list[dict[str, str]]]:
        """Return tools by server, each with its name and description."""
        found: dict[str, list[dict[str, str]]] = {}
        cursor: str | None = ""
        for _page in range(MAX_PAGES):
            result = await self._page(page_key, cursor)
            for tool in result.get("tools") or []:
                server, _separator, name = str(tool.get("name")).partition("__")
                about = str(tool.get("description") or tool.get("title") or "")
                found.setdefault(server, []).append({"name": name or server, "about": about})
            cursor = result.get("nextCursor")
            if not cursor:
                break
        return dict(sorted(found.items()))

    async def check(self) -> None:
        """Raise a Problem where the gateway does not answer."""
        try:
            response = await self._http.get("/health")
        except httpx2.HTTPError as error:
            raise Problem("gateway_away", 503, reason=str(error)) from None
        if response.status_code != 200:
            raise Problem("gateway_away", 503, reason=f"HTTP {response.status_code}")

    async def _page(self, page_key: str, cursor: str | None) -> dict[str, Any]:
        params: dict[str, Any] = {"_meta": META, **({"cursor": cursor} if cursor else {})}
        headers = {
            "Authorization": f"Bearer {page_key}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": "tools/list",
        }
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
        try:
            response = await self._http.post("/mcp", json=message, headers=headers)
            body = response.json()
        except (httpx2.HTTPError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise Problem("gateway_away", 503, reason=reason) from None
        result = body.get("result") if isinstance(body, dict) else None
        if not isinstance(result, dict):
            said = str((body.get("error") or {}).get("message") or f"HTTP {response.status_code}")
            raise Problem("gateway_refused", 502, reason=said[:200])
        return result

    async def close(self) -> None:
        await self._http.aclose()


def matching(
    listed: dict[str, list[dict[str, str]]], words: str
) -> dict[str, list[dict[str, str]]]:
    """The tools whose name, server or description has every word."""
    wanted = words.casefold().split()
    found = {}
    for server, tools in listed.items():
        kept = [
            tool
            for tool in tools
            if all(w in f"{server} {tool['name']} {tool['about']}".casefold() for w in wanted)
        ]
        if kept:
            found[server] = kept
    return found
