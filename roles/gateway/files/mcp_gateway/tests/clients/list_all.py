"""Lists everything at each address with version 1 of the official Python SDK: list_all.py URL...

Prints one JSON object: for each address how many of each kind the client saw, or its error.
"""

from __future__ import annotations

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

LISTS = {
    "tools": "list_tools",
    "prompts": "list_prompts",
    "resources": "list_resources",
    "resourceTemplates": "list_resource_templates",
}


async def count(session: ClientSession, method: str, member: str) -> int:
    total, cursor = 0, None
    while True:
        page = await getattr(session, method)(cursor)
        total += len(getattr(page, member))
        cursor = page.nextCursor
        if cursor is None:
            return total


async def inspect(url: str) -> dict[str, object]:
    seen: dict[str, object] = {}
    try:
        async with (
            streamablehttp_client(url) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            for member, method in LISTS.items():
                async with asyncio.timeout(20):
                    seen[member] = await count(session, method, member)
    except Exception as error:
        seen["error"] = repr(error)[:2000]
    return seen


async def main() -> None:
    print(json.dumps({url: await inspect(url) for url in sys.argv[1:]}))


asyncio.run(main())
