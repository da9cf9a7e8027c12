# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""FastMCP's proxy as it is fastest: one upstream session, connected once, used for every call.

fastmcp_proxy.py UPSTREAM_URL PORT
"""

from __future__ import annotations

import asyncio
import sys

from fastmcp import Client
from fastmcp.server.providers.proxy import FastMCPProxy


async def main(url: str, port: int) -> None:
    """Serve until the process is ended."""
    async with Client(url) as client:
        proxy = FastMCPProxy(client_factory=lambda: client, name="bench")
        await proxy.run_async(
            transport="http",
            host="127.0.0.1",
            port=port,
            path="/mcp",
            show_banner=False,
            log_level="error",
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
