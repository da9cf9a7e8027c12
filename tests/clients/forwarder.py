# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Stands before a real Ollama, passes everything on as it comes, and keeps what was said."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.error
import urllib.request
from typing import Any

Json = dict[str, Any]
SECONDS = 600


class Forwarder:
    """`exchanges` holds each chat: its request, and the last line of the answer."""

    def __init__(self, address: str, target: str) -> None:
        self.target = target
        self.exchanges: list[tuple[Json, Json]] = []
        handler = type("Handler", (_Handler,), {"forwarder": self})
        self.server = http.server.ThreadingHTTPServer((address, 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://{address}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    forwarder: Forwarder

    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.forwarder.target + self.path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                last = self._pass_on(answer)
        except urllib.error.HTTPError as refusal:
            last = self._pass_on(refusal)
        if self.path == "/api/chat":
            self.forwarder.exchanges.append((json.loads(body), json.loads(last)))

    def _pass_on(self, answer) -> bytes:
        """Send an answer line by line, and return the last."""
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.end_headers()
        line = b"{}"
        for line in answer:
            self.wfile.write(line)
            self.wfile.flush()
        return line

    do_GET = do_POST = _forward
