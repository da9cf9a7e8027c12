# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Records the shape of each pinned CLI's opening request: `make record-clients`.

A CLI gets rendered settings whose model and gateway are this program. What it sends first is kept
in roles/clients/files/requests.json without any of its texts; verify and check.sh send the like.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import yaml

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(Path(__file__).parent)]

import support  # noqa: E402

support.make_collection_importable()

from ansible_collections.intranet.mcp.plugins.module_utils.clients import (  # noqa: E402
    client_requests,
    settings_install,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients import settings  # noqa: E402
from gateway_lab import ROOT, node_packages  # noqa: E402

KEPT = ROOT / "roles/clients/files/requests.json"
MODEL, KEY = "recorded:1", "sk-recorded"
SECONDS = 90
# Headers that change how LiteLLM reads a request.
HEADERS = ("anthropic-beta", "anthropic-version")
COMMANDS = {
    "claude": ["claude", "-p", client_requests.QUESTION],
    "codex": ["codex", "exec", "--skip-git-repo-check", client_requests.QUESTION],
    "gemini": ["gemini", "-p", client_requests.QUESTION],
    "qwen": ["qwen", "-p", client_requests.QUESTION],
    "opencode": ["opencode", "run", client_requests.QUESTION],
}


class Recorder:
    """Plays the LLM API and a gateway without tools; keeps the first request that has tools."""

    def __init__(self) -> None:
        self.request: dict | None = None
        self.arrived = threading.Event()
        handler = type("Handler", (_Handler,), {"recorder": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, headers, body: dict) -> None:
        """Keep an opening request."""
        if body.get("tools") and not self.arrived.is_set():
            path = re.sub(r"(?<=/models/)[^:]+(?=:[a-z]+Generate|:generate)", "MODEL", path)
            known = {name: headers[name] for name in HEADERS if name in headers}
            self.request = {"path": path, "headers": known, "body": body}
            self.arrived.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    recorder: Recorder

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(405 if self.path == "/mcp" else 200, {"object": "list", "data": [{"id": MODEL}]})

    def do_HEAD(self) -> None:
        self._send(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path == "/mcp":
            self._mcp(body)
            return
        self.recorder.take(self.path, self.headers, body)
        self._send(400, {"error": {"message": "recorded", "type": "invalid_request_error"}})

    def _mcp(self, body: dict) -> None:
        version = body.get("params", {}).get("protocolVersion", "2025-06-18")
        hello = {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "recorder", "version": "1"},
        }
        if "id" not in body:
            self._send(202, None)
            return
        results = {"initialize": hello, "tools/list": {"tools": []}}
        self._send(
            200, {"jsonrpc": "2.0", "id": body["id"], "result": results.get(body["method"], {})}
        )

    def _send(self, status: int, value: object) -> None:
        content = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def record(name: str, modules: Path, manifest: dict) -> dict:
    """Return the shape of one CLI's opening request."""
    recorder = Recorder()
    site = {
        "litellm": recorder.url,
        "gateway": f"{recorder.url}/mcp",
        "manifest": manifest,
        "sizes": [{"name": MODEL, "context": 65536, "max_output": 8192}],
    }
    person = {"models": [MODEL], "model": MODEL, "key": KEY}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        for entry in settings.entries([name], "user", site, person):
            path = Path(home, entry["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(settings_install.rendered(entry))
            path.chmod(int(entry.get("mode", "0644"), 8))
        run(name, modules, home, recorder)
    if recorder.request is None:
        raise SystemExit(f"{name} sent no request with tools within {SECONDS} s")
    return client_requests.shape_of(recorder.request)


def run(name: str, modules: Path, home: str, recorder: Recorder) -> None:
    """Run a CLI until it has sent its request."""
    command = COMMANDS[name]
    environment = {"HOME": home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    environment.update(settings.OPENCODE_ENVIRONMENT)
    with subprocess.Popen(
        [modules / ".bin" / command[0], *command[1:]],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        recorder.arrived.wait(SECONDS)
        os.killpg(process.pid, 9)


def main() -> None:
    """Record every CLI."""
    manifest = yaml.safe_load((ROOT / "roles/platform/vars/main/clients.yml").read_text())
    clients = manifest["client_manifest"]
    modules = node_packages("clients-cli", ROOT / "roles/clients/files/npm/package-lock.json")
    for client in clients.values():
        for step in client.get("prepare", []):
            subprocess.run(["node", step], cwd=modules / client["package"], check=True, timeout=120)
    kept = {}
    for name, client in clients.items():
        shape = record(name, modules, clients)
        kept[name] = {"version": client["version"], **shape}
        print(f"{name} {client['version']}: {shape['path']}, {shape['bytes']} bytes")
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
