# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Stands in for Grafana: refuses to start with what the publisher's image would not take.

It reads what is provisioned as Grafana does (datasources, providers, then each provider's files),
lets nobody in without the administrator's password, and passes queries on to the datasource.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

USER = 472
NEEDED = ("GF_PATHS_CONFIG", "GF_PATHS_DATA", "GF_PATHS_HOME", "GF_PATHS_PLUGINS")


def check() -> None:
    """End with a reason where Grafana could not work."""
    if os.getuid() != USER or os.getgid() != 0:
        sys.exit(f"runs as {os.getuid()}:{os.getgid()}")
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        sys.exit(f"the image's own {missing} are gone")
    for name in os.environ:
        if name.startswith("GF_") and name.endswith("__FILE"):
            sys.exit(f"{name} was not turned into its value")
    # It keeps its database there, and makes a directory for plugins.
    Path(os.environ["GF_PATHS_DATA"], "grafana.db").write_text("database")


class Provisioned:
    """What lies below the provisioning path."""

    def __init__(self, root: Path) -> None:
        sources = [path.read_text() for path in (root / "datasources").glob("*.y*ml")]
        self.source = re.search(r"(?m)^\s*(?:- )?url: (\S+)", sources[0])[1]
        self.dashboards = {}
        for path in (root / "dashboards").glob("*.y*ml"):
            folder = Path(re.search(r"(?m)^\s*path: (\S+)", path.read_text())[1])
            for found in folder.glob("*.json"):
                made = json.loads(found.read_text())
                self.dashboards[made["uid"]] = made
        home = json.loads(Path(os.environ["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).read_text())
        if home["uid"] not in self.dashboards:
            sys.exit("the home page is no provisioned dashboard")


class Handler(http.server.BaseHTTPRequestHandler):
    provisioned: Provisioned

    def do_GET(self) -> None:
        if self.path == "/api/health":
            return self._send(200, {"database": "ok", "version": "13"})
        if self.path == "/metrics":
            return self._send(200, "grafana_build_info 1\n")
        if not self._is_administrator():
            return self._send(401, {"message": "Invalid username or password"})
        if self.path == "/api/search":
            return self._send(200, list(self.provisioned.dashboards.values()))
        if self.path.startswith("/api/datasources/proxy/"):
            return self._send(200, self._ask(self.path.removeprefix("/api/datasources/proxy/")))
        if self.path == "/settings":
            own = {name: value for name, value in os.environ.items() if name.startswith("GF_")}
            return self._send(200, own)
        return self._send(404, {})

    def _is_administrator(self) -> bool:
        names = ("GF_SECURITY_ADMIN_USER", "GF_SECURITY_ADMIN_PASSWORD")
        login = ":".join(os.environ[name] for name in names)
        sent = self.headers.get("Authorization", "").removeprefix("Basic ")
        return base64.b64decode(sent).decode() == login

    def _ask(self, path: str) -> dict:
        with urllib.request.urlopen(f"{self.provisioned.source}/{path}", timeout=10) as answer:
            return json.load(answer)

    def _send(self, status: int, body: object) -> None:
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    check()
    Handler.provisioned = Provisioned(Path(os.environ["GF_PATHS_PROVISIONING"]))
    port = int(os.environ["GF_SERVER_HTTP_PORT"])
    http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
