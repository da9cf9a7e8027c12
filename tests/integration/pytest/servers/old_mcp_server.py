# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A server of the MCP SDK 1.x, which knows nothing of the modern era.

Run with an interpreter that has it: `python old_mcp_server.py PORT KEY`. It serves /mcp. With
`stdio` in place of the port it speaks on its standard input and output.
"""

from __future__ import annotations

import sys

import uvicorn
from mcp.server.fastmcp import FastMCP
from starlette.responses import PlainTextResponse

server = FastMCP("old")


@server.tool()
def echo(text: str) -> str:
    """Say the same."""
    return text


def with_key(app, key: str):
    """Turn away whoever lacks the key."""

    async def checked(scope, receive, send):
        headers = dict(scope.get("headers") or [])
        if scope["type"] == "http" and scope["path"] == "/ready":
            await PlainTextResponse("ready")(scope, receive, send)
        elif scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {key}".encode():
            await PlainTextResponse("no", status_code=401)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return checked


if __name__ == "__main__" and sys.argv[1] == "stdio":
    server.run("stdio")
elif __name__ == "__main__":
    application = with_key(server.streamable_http_app(), sys.argv[2])
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]))
