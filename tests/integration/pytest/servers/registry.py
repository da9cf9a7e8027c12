# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A model registry small enough to make it stall, break off or lie at will."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading


class Registry:
    """Serves models to Ollama. `trouble` acts once each: `stall`, `cut`."""

    def __init__(self, address: str, authority=None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.requested: list[str] = []
        self.ranges: list[tuple[int, int]] = []
        self.trouble: list[str] = []
        self.released = threading.Event()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments):
                pass

            def do_GET(self):
                registry.requested.append(self.path)
                kind, _slash, name = self.path.rpartition("/")
                if kind.endswith("/manifests"):
                    self.answer(registry.manifests.get(kind.split("/")[-2] + ":" + name))
                else:
                    self.answer(registry.blobs.get(name), troubled=self.command == "GET")

            do_HEAD = do_GET

            def answer(self, content, troubled=False):
                if content is None:
                    self.reply(404, json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN"}]}).encode())
                    return
                start, end = 0, len(content) - 1
                wanted = self.headers.get("Range", "").removeprefix("bytes=").split("-")
                if len(wanted) == 2:
                    start, end = int(wanted[0]), int(wanted[1] or end)
                part = content[start : end + 1]
                is_part = len(wanted) == 2  # Ollama asks once for the address, then for parts
                if is_part:
                    registry.ranges.append((start, end))
                self.reply(206 if is_part else 200, part, troubled and is_part)

            def reply(self, status, content, troubled=False):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                # Ollama asks for the blob where it is told to.
                self.send_header(
                    "Location", f"{registry.scheme}://{self.headers['Host']}{self.path}"
                )
                self.end_headers()
                if self.command == "HEAD":
                    return
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if troubled and len(content) > 1_000_000 and registry.trouble:
                        self.make_trouble(registry.trouble.pop(0), content)
                    else:
                        self.wfile.write(content)

            def make_trouble(self, trouble, content):
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                if trouble == "stall":
                    registry.released.wait(60)
                self.close_connection = True

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.scheme = "https" if authority else "http"
        if authority:
            authority.protect(self._server, address)
        self.host = f"{address}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, name: str, weights: bytes) -> str:
        """Offer a model and return the digest that Ollama will list."""
        config = json.dumps({"model_format": "gguf", "model_family": "llama"}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": self._blob(config, "application/vnd.docker.container.image.v1+json"),
            "layers": [self._blob(weights, "application/vnd.ollama.image.model")],
        }
        self.manifests[name] = json.dumps(manifest).encode()
        return hashlib.sha256(self.manifests[name]).hexdigest()

    def close(self) -> None:
        """Stop serving."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _blob(self, content: bytes, media_type: str) -> dict:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content)}
