# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Asks the Docker engine over its socket, with nothing but the standard library.

For checks that run before anything is installed; whatever changes containers uses
community.docker.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
from typing import NamedTuple

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors

SOCKET = "/var/run/docker.sock"


def name_of(container: dict) -> str:
    """The name of a container as the engine lists it; one that is being removed may have none."""
    return (container.get("Names") or ["/?"])[0].lstrip("/")


def published_ports(container: dict) -> set[int]:
    """The host's ports that a container has, as the engine lists it."""
    ports = {port.get("PublicPort") for port in container.get("Ports") or []}
    return {port for port in ports if port}


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket; `peer` is the process that listens on it."""

    def __init__(self, path: str, timeout: float = 10):
        super().__init__("localhost", timeout=timeout)
        self.path = path
        self.peer = 0

    def __repr__(self) -> str:
        return f"EngineConnection({self.path!r}, peer={self.peer})"

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
        size = struct.calcsize("3i")
        credentials = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        self.peer = struct.unpack("3i", credentials)[0]


def get(path: str, resource: str):
    """The resource's JSON and the listening process; (None, 0) where no engine answers."""
    connection = EngineConnection(path)
    try:
        connection.request("GET", resource)
        response = connection.getresponse()
        body = json.loads(response.read())
        return (body, connection.peer) if response.status == 200 else (None, 0)
    except (OSError, ValueError, http.client.HTTPException):
        return None, 0
    finally:
        connection.close()


class EngineError(errors.ServiceError):
    """The engine did not do what was asked."""

    reason = "engine"
    status = 0  # of HTTP, where the engine answered


class Said(NamedTuple):
    """What a program in a container said; `text` is both streams as they came."""

    status: int
    stdout: str
    stderr: str
    text: str


class Engine:
    """Questions to a running engine, each over a connection of its own, so threads may share it."""

    def __init__(self, path: str = SOCKET, timeout: float = 30):
        self.path, self.timeout = path, timeout

    def __repr__(self) -> str:
        return f"Engine({self.path!r})"

    def ask(self, method: str, resource: str, body: dict | None = None) -> bytes:
        """The answer's body; raises EngineError on any other status than success."""
        connection = EngineConnection(self.path, self.timeout)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, resource, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(
                f"the Docker engine at {self.path} does not answer {method} {resource} ({error})",
                f"an answer within {self.timeout:g} s",
                "start the engine, check the host's load, or run this as root",
            ) from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            words = answer.decode(errors="replace").strip()[:200]
            refused = EngineError(
                f"the Docker engine refuses {method} {resource} (HTTP {response.status} {words})",
                "a running container of that name",
                "start it with site.yml",
            )
            refused.status = response.status
            raise refused
        return answer

    def json(self, resource: str):
        return json.loads(self.ask("GET", resource))

    def run(self, container: str, command: list[str], env: dict[str, str] | None = None) -> Said:
        """Run a command in a container.

        Unlike `docker exec`, nothing of it stands in a command line on the host.
        """
        body = {
            "Cmd": command,
            "Env": [f"{key}={value}" for key, value in (env or {}).items()],
            "AttachStdout": True,
            "AttachStderr": True,
        }
        made = json.loads(self.ask("POST", f"/containers/{container}/exec", body))["Id"]
        started = self.ask("POST", f"/exec/{made}/start", {"Detach": False, "Tty": False})
        status = self.json(f"/exec/{made}/json")["ExitCode"]
        return Said(
            status, demultiplex(started, 1), demultiplex(started, 2), demultiplex(started, 1, 2)
        )

    def log(self, container: str, lines: int) -> list[str]:
        """The last lines the container wrote."""
        resource = f"/containers/{container}/logs?stdout=1&stderr=1&tail={lines}"
        return demultiplex(self.ask("GET", resource), 1, 2).splitlines()


def demultiplex(stream: bytes, *wanted: int) -> str:
    """The text of the wanted streams (1 standard output, 2 error) among those the engine mixes."""
    parts, at = [], 0
    while at + 8 <= len(stream):
        size = int.from_bytes(stream[at + 4 : at + 8], "big")
        if stream[at] in wanted:
            parts.append(stream[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join(parts).decode(errors="replace")
