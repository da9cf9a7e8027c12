# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A tool server on stdio whose tools have schemas that clients take, flatten, or leave out."""

from __future__ import annotations

import json
import sys

TEXT = {"type": "string"}
ARGUMENT = {"a": TEXT}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
PAIR = {"type": "array", "items": [TEXT, TEXT]}
SCHEMAS = {
    "echo": {"properties": {"message": TEXT}},
    "root_all_of": {"properties": ARGUMENT, "allOf": [{"required": ["a"]}]},
    "root_any_of": {"properties": ARGUMENT, "anyOf": [{"required": ["a"]}, {}]},
    "root_if": {"properties": ARGUMENT, "if": {"required": ["a"]}, "then": {}, "else": {}},
    "root_ref": {"$ref": "#/$defs/r", "$defs": {"r": {"properties": ARGUMENT}}},
    "key_with_dot": {"properties": {"a.b": TEXT}},
    "key_with_dollar": {"properties": {"$filter": TEXT}},
    "key_with_space": {"properties": {"a b": TEXT}},
    "key_in_words": {"properties": {"größe": TEXT}},
    "key_too_long": {"properties": {"k" * 65: TEXT}},
    "key_inside": {"properties": {"a": {"type": "object", "properties": {"b c": TEXT}}}},
    "pair": {"properties": {"a": PAIR}},
    "pair_inside": {"properties": {"a": {"type": "object", "properties": {"b": PAIR}}}},
    "pair_of_draft_7": {"$schema": DRAFT_7, "properties": {"a": PAIR}},
    "pair_of_today": {"properties": {"a": {"type": "array", "prefixItems": [TEXT, TEXT]}}},
}
TOOLS = [
    {"name": name, "description": f"Does {name}.", "inputSchema": {"type": "object", **schema}}
    for name, schema in SCHEMAS.items()
]


def result_of(message: dict) -> dict:
    """Return the result of a request."""
    method, params = message["method"], message.get("params", {})
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "shapes", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": TOOLS}
    text = params.get("arguments", {}).get("message", "") if method == "tools/call" else ""
    return {"content": [{"type": "text", "text": text}]} if method == "tools/call" else {}


if __name__ == "__main__":
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and message.get("method") == "server/discover":
            error = {"code": -32601, "message": "unknown"}
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)
        elif "id" in message and "method" in message:
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result_of(message)}
            print(json.dumps(answer), flush=True)
