# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HAProxy in a container with the platform's configuration, in front of replicas of the test."""

from __future__ import annotations

import http.server
import os
import threading
import urllib.error
import urllib.request

from ansible_collections.intranet.mcp.plugins.module_utils._haproxy_config import render

SOCKET = ["-S", "/run/haproxy/master.sock"]
PORTS = {"door": 8443, "redirect": 8080, "inside": 8000, "metrics": 8404}


class Replica:
    """An HTTP server that says its name, is ready or not, and can hold an answer back."""

    def __init__(self, address: str, name: str) -> None:
        self.name, self.is_ready, self.requests = name, True, 0
        self.gate = threading.Event()
        self.gate.set()
        self.at_work = threading.Event()
        replica = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments):
                pass

            def do_GET(self):
                if self.path in ("/ready", "/alive"):
                    is_well = replica.is_ready or self.path == "/alive"
                    self._send(200 if is_well else 503, b"")
                    return
                replica.requests += 1
                replica.at_work.set()
                replica.gate.wait(30)
                self._send(200, replica.name.encode())

            def _send(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_arguments):
                pass  # checks hang up as soon as they know

        self._server = Server((address, 0), Handler)
        self._server.daemon_threads = True
        self.address = f"{address}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


class Balancer:
    """The container, its configuration and its sockets."""

    def __init__(self, docker, image: str, folder, replicas: list[Replica]) -> None:
        self.folder, self.run_dir = folder, folder / "run"
        self.config = folder / "config" / "haproxy.cfg"
        self.config.parent.mkdir()
        self.run_dir.mkdir()
        os.chown(self.run_dir, 99, 99)
        self.write(replicas)
        self.container = docker.start(
            "balancer",
            image,
            "--publish=127.0.0.1::8443",
            f"--volume={self.config.parent}:/config:ro",
            f"--volume={self.run_dir}:/run/haproxy",
            command=["haproxy", "-W", "-db", *SOCKET, "-f", "/config/haproxy.cfg"],
        )
        self.url = f"http://{docker.address(self.container, 8443)}"

    def write(self, replicas: list[Replica], more: str = "") -> None:
        """Write the configuration, as the role renders it."""
        servers = [
            {"name": replica.name, "address": replica.address, "is_name": False}
            for replica in replicas
        ]
        settings = {
            "tls": False,
            "door_port": 80,
            "ports": PORTS,
            "timeout_seconds": 30,
            "connect_seconds": 1,
            "check_seconds": 1,
            "max_connections": 500,
        }
        pool = {"service": "litellm", "ready": "/ready", "alive": "/alive", "servers": servers}
        self.config.write_text(render([pool], settings) + more)

    def get(self, path: str = "/v1/models") -> tuple[int, str]:
        """Return status and body of a request through the balancer; 0 when there is no answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=40) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError as error:
            return 0, str(error)
