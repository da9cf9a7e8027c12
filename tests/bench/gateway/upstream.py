# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The tool server behind every proxy of the bench: as little work a call as Python allows.

    upstream.py http PORT [--tools N] [--slow SECONDS]

        any path ending in /mcp; /events/... answers with event streams; GET /key/info answers like
        LiteLLM, GET /lookups says how often it did; with --slow, initialize takes so long

    upstream.py stdio

It speaks both eras, so that no proxy has to translate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

KEY = "bench-key"
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
SERVER = {"name": "bench", "version": "1.0.0"}
CAPABILITIES = {"tools": {}}
ECHO = {
    "name": "echo",
    "description": "Returns the text it is given.",
    "inputSchema": {
        "type": "object",
        "properties": {"text": {"type": "string", "description": "What to return"}},
        "required": ["text"],
    },
}
DELETE = {**ECHO, "name": "delete_everything", "description": "Policy must refuse this one."}


def tool(number: int) -> dict:
    """Return a tool of the size that real servers' tools have (about 700 bytes)."""
    properties = {
        f"argument_{n}": {"type": "string", "description": f"What the operation needs, part {n}"}
        for n in range(5)
    }
    return {
        "name": f"operation_{number}",
        "description": f"Operation {number} of this server. " + "It does something useful. " * 6,
        "inputSchema": {"type": "object", "properties": properties, "required": ["argument_0"]},
    }


class Server:
    """Answers decoded messages; knows nothing of transports."""

    def __init__(self, tools: int = 0, slow_seconds: float = 0) -> None:
        self.slow_seconds = slow_seconds
        self.tools = [ECHO, DELETE] if not tools else [tool(n) for n in range(tools)]

    def answer(self, message: dict) -> dict | None:
        """Return the response to a request, None to a notification."""
        if "id" not in message or "method" not in message:
            return None
        handler = getattr(self, "on_" + message["method"].replace("/", "_"), None)
        if handler is None:
            error = {"code": -32601, "message": f"Method not found: {message['method']}"}
            return {"jsonrpc": "2.0", "id": message["id"], "error": error}
        params = message.get("params") or {}
        result = handler(params)
        if "io.modelcontextprotocol/protocolVersion" in (params.get("_meta") or {}):
            result["resultType"] = "complete"
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    def on_initialize(self, params: dict) -> dict:
        asked = params.get("protocolVersion")
        version = asked if asked in VERSIONS else VERSIONS[0]
        return {"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": SERVER}

    def on_server_discover(self, params: dict) -> dict:
        return {
            "supportedVersions": ["2026-07-28"],
            "capabilities": CAPABILITIES,
            "ttlMs": 60000,
            "cacheScope": "public",
            "_meta": {"io.modelcontextprotocol/serverInfo": SERVER},
        }

    def on_ping(self, params: dict) -> dict:
        return {}

    def on_tools_list(self, params: dict) -> dict:
        result = {"tools": self.tools}
        if "io.modelcontextprotocol/protocolVersion" in (params.get("_meta") or {}):
            result |= {"ttlMs": 60000, "cacheScope": "public"}
        return result

    def on_tools_call(self, params: dict) -> dict:
        text = (params.get("arguments") or {}).get("text", "")
        return {"content": [{"type": "text", "text": text}], "isError": False}


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection; requests of one connection come one after the other."""

    lookups = 0

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length, lowered = 0, head.lower()
            at = lowered.find(b"content-length:")
            if at >= 0:
                length = int(lowered[at + 15 :].split(b"\r\n", 1)[0])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.respond(head, lowered, rest[:length])

    def respond(self, head: bytes, lowered: bytes, body: bytes) -> None:
        method, path, _ = head.split(b" ", 2)
        if method == b"POST":
            response = self.server.answer(json.loads(body))
            if response is None:
                self.write(b"202 Accepted", b"")
                return
            encoded = json.dumps(response, separators=(",", ":")).encode()
            if path.startswith(b"/events/"):
                kind = b"text/event-stream"
                encoded = b"event: message\ndata: " + encoded + b"\n\n"
            else:
                kind = b"application/json"
            if b'"initialize"' in body:
                answer = (b"200 OK", encoded, kind, b"mcp-session-id: bench\r\n")
                loop = asyncio.get_running_loop()
                loop.call_later(self.server.slow_seconds, self.write, *answer)
            else:
                self.write(b"200 OK", encoded, kind)
        elif path.startswith(b"/key/info"):
            HttpConnection.lookups += 1
            if b"authorization: bearer " + KEY.encode() not in lowered:
                self.write(b"401 Unauthorized", b"{}")
                return
            made = {"created_by": "default_user_id", "updated_by": "default_user_id"}
            info = {"key_alias": "bench", "team_id": "bench-team", **made}
            self.write(b"200 OK", json.dumps({"key": "hidden", "info": info}).encode())
        elif path.startswith(b"/lookups"):
            self.write(b"200 OK", str(HttpConnection.lookups).encode())
        elif method == b"DELETE":
            self.write(b"200 OK", b"")
        else:
            self.write(b"405 Method Not Allowed", b"")

    def write(
        self, status: bytes, body: bytes, kind: bytes = b"application/json", more: bytes = b""
    ) -> None:
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n%s"
            % (status, kind, more, len(body), body)
        )


async def serve_http(port: int, tools: int, slow_seconds: float) -> None:
    """Serve until the process is ended."""
    server = Server(tools, slow_seconds)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: HttpConnection(server), "127.0.0.1", port, backlog=2048
    )
    await listener.serve_forever()


def serve_stdio() -> None:
    """Serve until stdin ends."""
    server = Server()
    for line in sys.stdin.buffer:
        response = server.answer(json.loads(line))
        if response is not None:
            sys.stdout.buffer.write(json.dumps(response, separators=(",", ":")).encode() + b"\n")
            sys.stdout.buffer.flush()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transport", choices=["http", "stdio"])
    parser.add_argument("port", type=int, nargs="?")
    parser.add_argument("--tools", type=int, default=0, help="this many, instead of echo")
    parser.add_argument("--slow", type=float, default=0, help="seconds that initialize takes")
    options = parser.parse_args()
    if options.transport == "stdio":
        serve_stdio()
    else:
        asyncio.run(serve_http(options.port, options.tools, options.slow))


if __name__ == "__main__":
    main()
