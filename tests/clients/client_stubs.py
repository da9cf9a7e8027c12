# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a CLI talks to besides the gateway: a scripted model, LiteLLM's key look-up, and a proxy
that nobody may use.

The model speaks Anthropic's Messages API and OpenAI's Responses API. It records the tools that each
request offers, asks for one call of the wanted tool, and then repeats what the tool returned.
"""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from typing import Any, NamedTuple

LITELLM_KEY = "sk-claude-test"
STATIC_KEY = "static-codex-test"
PROMPT = "Call the echo tool, then say what it returned."
WORD = "pineapple"

Json = dict[str, Any]


class Wanted(NamedTuple):
    """The call the model asks for: the end of the tool's name, and its arguments."""

    name_ends: str
    arguments: Json


class Offered(NamedTuple):
    """A tool as a model request names it."""

    namespace: str
    name: str

    @property
    def full(self) -> str:
        """The whole name; CLIs differ in where they put the MCP server's part."""
        return f"{self.namespace}__{self.name}" if self.namespace else self.name


class Stubs:
    """One loopback server for all of it."""

    def __init__(self, wanted: Wanted, litellm_key: str) -> None:
        self.wanted = wanted
        self.litellm_key = litellm_key
        self.requests: list[tuple[str, Json]] = []
        self.tried_outside: list[str] = []
        self.ids = itertools.count(1)
        handler = type("Handler", (_Handler,), {"stubs": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    @property
    def offers(self) -> list[list[Offered]]:
        """The tools of each model request that had any, oldest first."""
        return [tools for _, body in self.requests if (tools := list(_offered(body)))]

    def name_to_call(self, body: Json) -> Offered | None:
        """Return the wanted tool as this request names it."""
        for tool in _offered(body):
            if tool.full.endswith(self.wanted.name_ends):
                return tool
        return None


def _offered(body: Json):
    for tool in body.get("tools") or []:
        if tool.get("type") == "namespace":
            for inner in tool.get("tools") or []:
                yield Offered(tool["name"], inner["name"])
        elif tool.get("name"):
            yield Offered("", tool["name"])


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stubs: Stubs

    def log_message(self, *_: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.stubs.tried_outside.append(self.path)
        self.send_error(403)

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_GET(self) -> None:
        if self.path.startswith("http"):
            self.do_CONNECT()
        elif self.path.startswith("/key/info"):
            if self.headers.get("Authorization") != f"Bearer {self.stubs.litellm_key}":
                self._send_json({"error": "invalid"}, 401)
            else:
                made = {"created_by": "default_user_id", "updated_by": "default_user_id"}
                info = {"key_alias": "claude", "team_id": "developers", **made}
                self._send_json({"info": info})
        elif self.path.startswith("/v1/models"):
            self._send_json({"object": "list", "data": [{"id": "stub", "object": "model"}]})
        else:
            self._send_json({"error": "unknown path"}, 404)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("http"):
            self.do_CONNECT()
            return
        path = self.path.partition("?")[0]
        if path not in ("/v1/messages", "/v1/responses"):
            self._send_json({"input_tokens": 1})  # count_tokens and the like
            return
        body = json.loads(raw)
        self.stubs.requests.append((path, body))
        if path == "/v1/messages":
            self._messages(body)
        else:
            self._responses(body)

    # --- Anthropic Messages ---

    def _messages(self, body: Json) -> None:
        block, reason = self._next_message_block(body)
        message = {
            "id": f"msg_{next(self.stubs.ids)}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "stub"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        if not body.get("stream"):
            self._send_json({**message, "content": [block], "stop_reason": reason})
            return
        if block["type"] == "text":
            empty = {**block, "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        stop = {"stop_reason": reason, "stop_sequence": None}
        self._send_events(
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        )

    def _next_message_block(self, body: Json) -> tuple[Json, str]:
        for message in reversed(body["messages"]):
            if isinstance(message["content"], list):
                for block in message["content"]:
                    if block.get("type") == "tool_result":
                        return _text(json.dumps(block.get("content"))), "end_turn"
        tool = self.stubs.name_to_call(body)
        if tool is None:
            return _text("no tool"), "end_turn"
        call = {"id": f"toolu_{next(self.stubs.ids)}", "name": tool.full}
        return {"type": "tool_use", **call, "input": self.stubs.wanted.arguments}, "tool_use"

    # --- OpenAI Responses ---

    def _responses(self, body: Json) -> None:
        number = next(self.stubs.ids)
        item = self._next_response_item(body, number)
        response = {"id": f"resp_{number}", "object": "response", "status": "in_progress"}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        done = {**response, "status": "completed", "output": [item], "usage": usage}
        self._send_events(
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": done},
        )

    def _next_response_item(self, body: Json, number: int) -> Json:
        outputs = [i for i in body["input"] if i.get("type") == "function_call_output"]
        tool = self.stubs.name_to_call(body)
        if outputs or tool is None:
            text = json.dumps(outputs[-1]["output"]) if outputs else "no tool"
            content = [{"type": "output_text", "text": text, "annotations": []}]
            return {
                "id": f"msg_{number}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        call: Json = {
            "id": f"fc_{number}",
            "type": "function_call",
            "call_id": f"call_{number}",
            "name": tool.name,
            "arguments": json.dumps(self.stubs.wanted.arguments),
            "status": "completed",
        }
        if tool.namespace:
            call["namespace"] = tool.namespace
        return call

    # --- HTTP ---

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_json(self, value: Json, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode())

    def _send_events(self, *events: Json) -> None:
        lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
        self._send(200, "".join(lines).encode(), "text/event-stream")


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
