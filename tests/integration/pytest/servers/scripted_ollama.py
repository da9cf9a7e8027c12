# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An Ollama that says its own name, or that it is full: a model server without the model.

Run: scripted_ollama.py PORT. What it says comes from the environment (NAME); it calls every tool it
is offered. `POST /full` makes it refuse as Ollama does with a full queue, `POST /free` ends it.
"""

from __future__ import annotations

import http.server
import json
import os
import sys

NAME = os.environ.get("NAME", "scripted")
FULL = {"error": "server busy, please try again.  maximum pending requests exceeded"}


def answer(request: dict) -> list[dict]:
    """Return the lines of an answer, a tool call a line."""
    head = {"model": request["model"], "created_at": "2026-01-01T00:00:00Z"}
    sizes = {"prompt_eval_count": 4, "eval_count": 1, "total_duration": 1, "eval_duration": 1}
    calls = [
        {"id": f"call_{index}", "function": {"index": index, "name": name, "arguments": {}}}
        for index, name in enumerate(tool["function"]["name"] for tool in request.get("tools", []))
    ]
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]} for call in calls]
    said = messages or [{"role": "assistant", "content": NAME}]
    ended = {**head, "message": {"role": "assistant", "content": ""}, "done": True}
    lines = [{**head, "message": message, "done": False} for message in said]
    return [*lines, {**ended, "done_reason": "stop", **sizes}]


class Handler(http.server.BaseHTTPRequestHandler):
    """Chat, and the two switches."""

    full = False

    def log_message(self, *_arguments):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path in ("/full", "/free"):
            Handler.full = self.path == "/full"
            self._send(200, {})
        elif self.path == "/api/show":
            self._send(200, {"capabilities": ["completion", "tools"]})
        elif self.path != "/api/chat":
            self._send(404, {"error": f"no {self.path} here"})
        elif Handler.full:
            self._send(503, FULL)
        else:
            self._chat(request)

    def _chat(self, request):
        lines = answer(request)
        if request.get("stream", True):
            self._send(200, *lines)
        else:
            self._send(200, {**lines[-1], "message": lines[0]["message"]})

    def _send(self, status, *lines):
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
