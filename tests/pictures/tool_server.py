# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""tool_server.py NAME COUNT: an MCP server on stdio that lists so many tools."""

from __future__ import annotations

import json
import sys


def answer(message: dict, name: str, count: int) -> dict:
    """Return the result, or the error, of one request."""
    if message["method"] == "initialize":
        version = message["params"]["protocolVersion"]
        about = {"serverInfo": {"name": name, "version": "1"}, "capabilities": {"tools": {}}}
        return {"result": {"protocolVersion": version, **about}}
    if message["method"] == "tools/list":
        schema = {"type": "object"}
        tools = [{"name": f"{name}_{number}", "inputSchema": schema} for number in range(count)]
        return {"result": {"tools": tools}}
    if message["method"] == "ping":
        return {"result": {}}
    return {"error": {"code": -32601, "message": "not a method of this server"}}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        told = answer(request, sys.argv[1], int(sys.argv[2]))
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **told}), flush=True)
