# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An OpenAI-compatible API that answers at once with the same words: a model without the model.

Run: scripted_api.py [PORT]. What the platform adds to a request can be measured and broken in front
of it, because the answer itself costs nothing. Streams when it is asked to.
"""

from __future__ import annotations

import http.server
import json
import sys

WORDS = ["One", " two", " three", "."]
USAGE = {"prompt_tokens": 4, "completion_tokens": len(WORDS), "total_tokens": 4 + len(WORDS)}


def chunk(index: int, word: str) -> dict:
    """Return one event of a stream."""
    ended = index == len(WORDS) - 1
    delta = {"role": "assistant", "content": word} if index == 0 else {"content": word}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if ended else None}
    return {**_head("chat.completion.chunk"), "choices": [choice]}


def completion() -> dict:
    """Return the whole answer."""
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**_head("chat.completion"), "choices": [choice], "usage": USAGE}


def _head(kind: str) -> dict:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 1767225600, "model": "scripted"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Chat completions and the list of the one model."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        self._json({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        request = json.loads(self.rfile.read(length) or b"{}")
        if not self.path.endswith("/chat/completions"):
            self._json({"error": {"message": f"no {self.path} here", "code": 404}}, 404)
            return
        if not request.get("stream"):
            self._json(completion())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for index, word in enumerate(WORDS):
            self._event(json.dumps(chunk(index, word)))
        self._event("[DONE]")

    def _event(self, data):
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def _json(self, body, status=200):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 256
    daemon_threads = True


if __name__ == "__main__":
    Server(("", int((sys.argv[1:] or ["8000"])[0])), Handler).serve_forever()
