# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An OpenAI-compatible API whose model follows a script, and a proxy that nobody may use.

A model small enough for a test machine cannot drive an agent, so this one plays it: it asks for one
call of the wanted tool, then repeats what the tool returned. Everything it is sent is recorded, so
a test can look at what came through LiteLLM.
"""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from typing import Any, NamedTuple

Json = dict[str, Any]


class Wanted(NamedTuple):
    """The call the model asks for: the end of the tool's name, and its arguments."""

    name_ends: str
    arguments: Json


class ScriptedModel:
    """Serves `/v1/chat/completions` and records; refuses to be a proxy, and records that too."""

    def __init__(self, wanted: Wanted, api_key: str, address: str = "127.0.0.1") -> None:
        self.wanted = wanted
        self.api_key = api_key
        self.requests: list[Json] = []
        self.tried_outside: list[str] = []
        self.ids = itertools.count(1)
        handler = type("Handler", (_Handler,), {"script": self})
        self.server = http.server.ThreadingHTTPServer((address, 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://{address}:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def reset(self) -> None:
        """Begin a new record."""
        self.requests.clear()
        self.tried_outside.clear()

    @property
    def offers(self) -> list[list[str]]:
        """The tools of each request that had any, by name, oldest first."""
        return [names for body in self.requests if (names := list(tool_names(body)))]

    def message(self, body: Json) -> Json:
        """Return what the model says to these messages."""
        results = [m for m in body["messages"] if m.get("role") == "tool"]
        if results:
            said = f"The tool returned: {text_of(results[-1].get('content'))}"
            return {"role": "assistant", "content": said}
        name = next((n for n in tool_names(body) if n.endswith(self.wanted.name_ends)), None)
        if name is None:
            return {"role": "assistant", "content": "There is no such tool."}
        function = {"name": name, "arguments": json.dumps(self.wanted.arguments)}
        call = {"id": f"call_{next(self.ids)}", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}


def tool_names(body: Json):
    """Yield the names of the functions that a request offers."""
    for tool in body.get("tools") or []:
        if tool.get("type") == "function":
            yield tool["function"]["name"]


def text_of(content: Any) -> str:
    """Return a message's text, whichever of the two shapes it has."""
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedModel

    def log_message(self, *_: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.script.tried_outside.append(self.path)
        self.send_error(403)

    def do_GET(self) -> None:
        if self.path.startswith("http"):
            self.do_CONNECT()
        else:
            self._send_json({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("http"):
            self.do_CONNECT()
        elif self.headers.get("Authorization") != f"Bearer {self.script.api_key}":
            self._send_json({"error": {"message": "wrong key", "type": "auth"}}, 401)
        elif self.path != "/v1/chat/completions":
            self._send_json({"error": {"message": f"no such path: {self.path}"}}, 404)
        else:
            body = json.loads(raw)
            self.script.requests.append(body)
            self._complete(body)

    def _complete(self, body: Json) -> None:
        message = self.script.message(body)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        answer = {
            "id": f"chatcmpl-{next(self.script.ids)}",
            "created": 0,
            "model": body["model"],
        }
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            whole = {**answer, "object": "chat.completion", "choices": [choice], "usage": usage}
            self._send_json(whole)
            return
        chunks = []
        for delta, finish in ((message, None), ({}, reason)):
            for call in delta.get("tool_calls", []):
                call["index"] = 0
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            chunks.append({**answer, "object": "chat.completion.chunk", "choices": [choice]})
        chunks.append({**chunks[0], "choices": [], "usage": usage})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
        self._send(200, "".join(lines).encode(), "text/event-stream")

    def _send_json(self, value: Json, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
