# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A server of the official MCP SDK with a key check, for tests of `mcp_health`.

Run with an interpreter that has the SDK: `python mcp_server.py PORT KEY`.
It serves /mcp (both eras), /json/mcp (answers in JSON, both eras) and /sse. With `stdio` in place
of the port it speaks on its standard input and output. With `PORT KEY ADDRESS CERTIFICATE KEYFILE`
it speaks TLS there.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import Field
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route


def server() -> MCPServer:
    """Return a server with tools whose results are known."""
    mcp = MCPServer("itest", version="1.2.3")

    @mcp.tool()
    def echo(text: str) -> str:
        """Say the same."""
        return text

    @mcp.tool()
    def add(a: int, b: int) -> dict[str, int]:
        """Add two numbers."""
        return {"sum": a + b}

    @mcp.tool()
    def region(
        name: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], note: str = ""
    ) -> str:
        """Take an argument that also travels as a header."""
        return f"in {name}"

    @mcp.tool()
    def fail() -> str:
        """Fail."""
        raise ValueError("broken on purpose")

    return mcp


class KeyCheck:
    """Turn away whoever lacks the key."""

    def __init__(self, app, key: str) -> None:
        self.app, self.key = app, key

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] != "/ready" and not self.knows(scope):
            await PlainTextResponse("no", status_code=401)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def knows(self, scope) -> bool:
        """True for a caller with the key."""
        return dict(scope["headers"]).get(b"authorization") == f"Bearer {self.key}".encode()


def application(key: str, host: str):
    """Return the ASGI application, for requests to a host."""
    streaming, plain, sse = server(), server(), server()
    mounted = [
        Route("/ready", lambda _request: PlainTextResponse("ready")),
        Mount("/json", plain.streamable_http_app(json_response=True, stateless_http=True)),
        Mount("/old", sse.sse_app()),
        Mount("/", streaming.streamable_http_app(host=host)),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        async with streaming.session_manager.run(), plain.session_manager.run():
            yield

    return KeyCheck(Starlette(routes=mounted, lifespan=lifespan), key)


if __name__ == "__main__" and sys.argv[1] == "stdio":
    server().run("stdio")
elif __name__ == "__main__":
    port, key, address, certificate, keyfile = [*sys.argv[1:], "127.0.0.1", None, None][:5]
    tls = {"ssl_certfile": certificate, "ssl_keyfile": keyfile}
    uvicorn.run(application(key, address), host=address, port=int(port), **tls)
