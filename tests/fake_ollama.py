# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An Ollama of one test that keeps weights and makes models of them, and computes nothing."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

from support import Exchange, FakeService

TRAINED = 4096
CAPABILITIES = ["completion", "tools"]
FOREVER = "2318-01-01T00:00:00Z"


class FakeOllama:
    """Blobs by digest, models by name, and what was loaded with which context."""

    def __init__(self) -> None:
        self.blobs: set[str] = set()
        self.models: dict[str, dict] = {}
        self.loaded: dict[str, int] = {}
        self._service = FakeService()
        self._service.replies |= {
            ("GET", "/api/version"): (200, {"version": "0"}),
            ("GET", "/api/tags"): lambda _e: (200, {"models": [*map(self._entry, self.models)]}),
            ("GET", "/api/ps"): lambda _e: (200, {"models": [*map(self._running, self.loaded)]}),
            ("POST", "/api/show"): self._show,
            ("POST", "/api/create"): self._create,
            ("POST", "/api/generate"): self._load,
        }

    @property
    def port(self) -> int:
        return int(self._service.url.rpartition(":")[2])

    def takes(self, weights: Path) -> str:
        """Let weights be sent; returns their digest."""
        digest = f"sha256:{hashlib.sha256(weights.read_bytes()).hexdigest()}"
        path = f"/api/blobs/{digest}"
        self._service.replies |= {
            ("HEAD", path): lambda _e: (200 if digest in self.blobs else 404, b""),
            ("POST", path): lambda exchange: self._keep(digest, exchange),
        }
        return digest

    def close(self) -> None:
        self._service.close()

    def _keep(self, digest: str, exchange: Exchange):
        if f"sha256:{hashlib.sha256(exchange.body).hexdigest()}" != digest:
            return 400, {"error": "digest mismatch"}
        self.blobs.add(digest)
        return 201, b""

    def _create(self, exchange: Exchange):
        asked = exchange.json()
        ((label, digest),) = asked["files"].items()
        if digest not in self.blobs:
            return 400, {"error": "blob not found"}
        self.models[asked["model"]] = {
            "modelfile": f"FROM /models/{digest.replace(':', '-')}\n",
            "details": {"parent_model": label},
            "template": asked.get("template", ""),
            "parameters": "\n".join(f"{k} {v}" for k, v in asked.get("parameters", {}).items()),
        }
        return 200, [json.dumps({"status": "success"}).encode() + b"\n"]

    def _show(self, exchange: Exchange):
        known = {"general.architecture": "llama", "llama.context_length": TRAINED}
        found = {"capabilities": CAPABILITIES, "model_info": known}
        return 200, {**found, **self.models[exchange.json()["model"]]}

    def _load(self, exchange: Exchange):
        asked = exchange.json()
        assert asked["keep_alive"] == -1
        self.loaded[asked["model"]] = asked["options"]["num_ctx"]
        return 200, {"done": True}

    def _entry(self, name: str) -> dict:
        made_of = json.dumps(self.models[name], sort_keys=True).encode()
        return {"name": name, "digest": hashlib.sha256(made_of).hexdigest(), "size": 7}

    def _running(self, name: str) -> dict:
        lasts = {"expires_at": FOREVER, "context_length": self.loaded[name]}
        return {**self._entry(name), **lasts}


def write_weights(path: Path) -> None:
    """Write a GGUF file that holds its architecture and nothing else."""
    key, value = b"general.architecture", b"llama"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    text = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    path.write_bytes(head + text)
