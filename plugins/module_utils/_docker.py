# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reads from the Docker engine over its socket, with nothing but the standard library.

For checks that run before anything is installed; whatever changes containers uses
community.docker.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct


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
