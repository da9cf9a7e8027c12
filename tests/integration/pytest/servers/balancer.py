# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A balancer in a container with the platform's configuration, in front of replicas of the test."""

from __future__ import annotations

import http.server
import os
import queue
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from typing import NamedTuple

from ansible_collections.intranet.mcp.plugins.module_utils.balancer import (
    haproxy_config,
    traefik_config,
)

STREAM = "/sse"
HELD = "/v1/responses/held"  # requests that wait for the replica's gate
# What people must not reach, and what must reach nobody.
OPERATORS_PATHS = ["/key/generate", "/key/list", "/team/new", "/user/new", "/model/info", "/ui"]
OPERATORS_PATHS += ["/config/yaml", "/routes", "/openapi.json", "/v1/mcp/server", "/mcp-rest/x"]
AMBIGUOUS_PATHS = ["/mcp%0A", "/mcp/%00", "/v1/models/%2e%2e/%2e%2e/key/generate", "/mcp%5cx"]
AMBIGUOUS_PATHS += ["/v1/models/../../key/generate", "/v1/models%2F..%2F..%2Fkey/generate", "/mcp%"]
AMBIGUOUS_PATHS += ["/%6dcp", "/%6detrics", "/key%2finfo/%2E", "//mcp", "/servers/x%0d%0aX:1/mcp"]
PORTS = {"public": 8443, "redirect": 8080, "inside": 8000, "metrics": 8404, "pages": 9443}


# Whoever signed a test's certificate.
ANY = ssl.create_default_context()
ANY.check_hostname, ANY.verify_mode = False, ssl.CERT_NONE


class Engine(NamedTuple):
    """What the role runs, and how it says what a test asks."""

    name: str
    uid: int
    command: list[str]
    run: str  # where it is spoken to
    main: str  # the file that a reload reads
    render: object
    good: str  # a word in that file, and what makes a wrong file of it
    wrong: str
    ready: str  # a line of its metrics, for a server that is ready
    degraded: str  # what /health says when no replica is ready


def _haproxy_files(pools, settings):
    return {"haproxy.cfg": haproxy_config.render(pools, settings)}


SOCKET = ["-S", "/run/haproxy/master.sock"]
ENGINES = {
    "haproxy": Engine(
        "haproxy",
        99,
        ["haproxy", "-W", "-db", *SOCKET, "-f", "/config/haproxy.cfg"],
        "/run/haproxy",
        "haproxy.cfg",
        _haproxy_files,
        "retry-on",
        "no-such-word",
        r'haproxy_server_status\{{proxy="litellm",server="{}",state="UP"\}} 1',
        '{"status": "degraded", "service": "litellm"}',
    ),
    "traefik": Engine(
        "traefik",
        10001,
        ["traefik-start"],
        "/run/traefik",
        "dynamic.yml",
        traefik_config.render,
        '"retry"',
        '"no-such-word"',
        r'traefik_service_server_up\{{service="litellm\.{}(?:@file)?",url="[^"]*"\}} 1',
        "",  # as LiteLLM says it
    ),
}


class Replica:
    """An HTTP server that says its name, is ready or not, and can hold an answer back.

    /sse is a stream of what a test puts into `pieces`, until that is None.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name, self.is_ready, self.requests = name, True, 0
        self.last, self.pieces, self.connections = ("", {}), queue.SimpleQueue(), set()
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
                replica.last = (self.path, self.headers)
                replica.connections.add(self.connection)
                if self.path == HELD:
                    replica.at_work.set()
                    replica.gate.wait(30)
                if self.path == STREAM:
                    self._stream()
                else:
                    self._send(200, replica.name.encode())
                replica.connections.discard(self.connection)

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def _stream(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while (piece := replica.pieces.get(timeout=30)) is not None:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

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

    def cut(self) -> None:
        """Hang up on everybody, as the kernel does for a process that was killed."""
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.gate.set()
        self.pieces.put(None)
        self._server.shutdown()
        self._server.server_close()


class Balancer:
    """The container, its configuration, and where it is spoken to."""

    def __init__(
        self, docker, image, folder, replicas, engine, options=(), name="balancer", **settings
    ) -> None:
        self.docker, self.engine, self.settings = docker, ENGINES[engine], settings
        self.folder, self.run_dir = folder, folder / "run"
        self.config = folder / "config" / self.engine.main
        self.config.parent.mkdir()
        self.run_dir.mkdir()
        os.chown(self.run_dir, self.engine.uid, self.engine.uid)
        self.write(replicas)
        self.container = docker.start(
            name,
            image,
            "--read-only",
            "--init",
            "--tmpfs=/tmp",
            *[f"--publish=127.0.0.1::{port}" for port in PORTS.values()],
            f"--volume={self.config.parent}:/config:ro",
            f"--volume={self.run_dir}:{self.engine.run}",
            *options,
            command=self.engine.command,
        )
        self.address = docker.address(self.container, 8443)
        self.url = f"{'https' if settings.get('tls') else 'http'}://{self.address}"

    def write(self, replicas: list[Replica] | dict[str, list[Replica]]) -> None:
        """Write the configuration, as the role renders it; a list are LiteLLMs."""
        by_service = replicas if isinstance(replicas, dict) else {"litellm": replicas}
        pools = [_pool(service, listed) for service, listed in by_service.items()]
        settings = {
            "tls": False,
            "public_port": 80,
            "ports": {**PORTS, "pages": PORTS["pages"] if "pages" in self.settings else 0},
            "timeout_seconds": 30,
            "connect_seconds": 1,
            "check_seconds": 1,
            "max_connections": 500,
            "stop_seconds": 10,
            **self.settings,
        }
        for name, text in self.engine.render(pools, settings).items():
            (self.config.parent / name).write_text(text)

    def spoil(self) -> None:
        """Write a configuration that the engine does not take."""
        text = self.config.read_text()
        assert self.engine.good in text
        self.config.write_text(text.replace(self.engine.good, self.engine.wrong))

    def is_ready(self, name: str) -> bool:
        """Whether the balancer itself takes the server for ready, as its metrics tell."""
        url = f"http://{self.docker.address(self.container, PORTS['metrics'])}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return bool(re.search(self.engine.ready.format(name), response.read().decode()))
        except OSError:  # it is about to start
            return False

    @property
    def spoken_to(self) -> dict:
        """The options by which modules find it."""
        return {"directory": str(self.run_dir), "container": self.container}

    def get(self, path: str = "/v1/models") -> tuple[int, str]:
        """Return status and body of a request through the balancer; 0 when there is no answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=40, context=ANY) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError as error:
            return 0, str(error)


def exchange(host: str, port: int, sent: bytes) -> bytes:
    """Send bytes as they are, and return all that is answered until nothing more comes."""
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(sent)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
                connection.settimeout(1)
        except (ConnectionResetError, TimeoutError):
            pass  # what was answered before stands
        return b"".join(parts)


def raw_status(host: str, port: int, path: str) -> int:
    """Return the status of a request whose path no library has put in order."""
    sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answer = exchange(host, port, sent)
    return int(answer.split()[1]) if answer else 0


def _pool(service: str, replicas: list[Replica]) -> dict:
    servers = [
        {"name": replica.name, "address": replica.address, "is_name": False} for replica in replicas
    ]
    return {"service": service, "ready": "/ready", "alive": "/alive", "servers": servers}
