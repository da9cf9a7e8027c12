# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Connections to a pod's port through the API server, as `kubectl port-forward` has them.

They arrive at the pod from its own node, so no NetworkPolicy has to be open for them, and what no
entry serves (LiteLLM's management) is reached by whoever may do that in the namespace alone.

One connection is one WebSocket (v4.channel.k8s.io). Its first byte of each message is a channel: 0
has the data, 1 what went wrong. Each channel begins with the number of the port.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    Unreachable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.client import tls_context
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.kubeconfig import Access

PROTOCOL = "v4.channel.k8s.io"
DATA, ERRORS = 0, 1
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
PIECE_BYTES = 65536
CONNECT_SECONDS = 20


class Channel:
    """A connection to one port of one pod."""

    def __init__(self, access: Access, namespace: str, pod: str, port: int) -> None:
        self._what = f"port {port} of pod {pod}"
        self._begun: set[int] = set()
        self._received = b""
        self.has_ended = False
        self._socket = _connected(access)
        query = urlencode({"ports": port})
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward?{query}"
        try:
            self._upgrade(access, urlsplit(access.server).path.rstrip("/") + path)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """What `select` asks for."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        self._send(BINARY, bytes([DATA]) + data)

    def read(self) -> bytes:
        """Return what has arrived, perhaps nothing; `has_ended` says whether nothing follows."""
        self._receive()
        found = []
        while frame := self._frame():
            kind, message = frame
            self.has_ended = self.has_ended or kind == CLOSE
            if kind == PING:
                self._send(PONG, message)
            elif kind == BINARY and message:
                found.append(self._content(message[0], message[1:]))
        return b"".join(found)

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        arrived = self._socket.recv(PIECE_BYTES)
        self.has_ended = not arrived
        while arrived:
            self._received += arrived
            # What TLS has read already, of which `select` knows nothing.
            pending = getattr(self._socket, "pending", int)()
            arrived = self._socket.recv(pending) if pending else b""

    def _content(self, channel: int, content: bytes) -> bytes:
        if channel not in self._begun:
            self._begun.add(channel)
            content = content[2:]
        if content and channel == ERRORS:
            raise Unreachable(
                f"{self._what} cannot be reached ({content.decode(errors='replace').strip()})",
                "a program that listens there",
                "read the pod's log",
            )
        return content

    def _upgrade(self, access: Access, path: str) -> None:
        headers = {
            "Host": urlsplit(access.server).netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Protocol": PROTOCOL,
            "Sec-WebSocket-Version": "13",
        }
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            # Not a byte of what follows, for which `select` would not wait any more.
            if not (arrived := self._socket.recv(1)):
                break
            head += arrived
        status = head.partition(b"\r\n")[0].decode(errors="replace").partition(" ")[2]
        if not status.startswith("101 "):
            raise Refused(
                f"{access.server} answered {status!r} when asked for {self._what}",
                "a connection to it",
                "have the cluster's administrator grant pods/portforward in the namespace",
            )
        self._socket.settimeout(None)

    def _send(self, kind: int, message: bytes) -> None:
        size = len(message)
        if size < 126:
            head = bytes([0x80 | kind, 0x80 | size])
        elif size < 1 << 16:
            head = bytes([0x80 | kind, 0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | kind, 0x80 | 127]) + size.to_bytes(8, "big")
        mask = os.urandom(4)
        repeated = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        masked = (int.from_bytes(message, "big") ^ repeated).to_bytes(size, "big")
        self._socket.sendall(head + mask + masked)

    def _frame(self) -> tuple[int, bytes] | None:
        """Take the next whole frame; servers of Kubernetes split no message over several."""
        head = self._received[:2]
        if len(head) < 2:
            return None
        size, begin = head[1] & 0x7F, 2
        if size > 125:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(self._received[2:begin], "big")
        if len(self._received) < begin + size:
            return None
        message = self._received[begin : begin + size]
        self._received = self._received[begin + size :]
        return head[0] & 0x0F, message


class Relay:
    """A port of this machine, each of whose connections becomes a channel."""

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        self._open_channel = open_channel
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(1)
        self.port = self._listener.getsockname()[1]

    def serve_while(self, is_wanted: Callable[[], bool]) -> None:
        """Take connections until nobody wants them any more; those that are there end with it."""
        with self._listener:
            while is_wanted():
                try:
                    connection, _address = self._listener.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ServiceError, OSError):
            # Whoever connected sees an end where there is no pod, or one side is gone.
            connection.settimeout(None)
            with contextlib.closing(self._open_channel()) as channel:
                _copy(connection, channel)


def _copy(connection: socket.socket, channel: Channel) -> None:
    """Carry data both ways until one side ends."""
    while True:
        ready, _writable, _failed = select.select([connection, channel], [], [])
        if channel in ready:
            connection.sendall(channel.read())
            if channel.has_ended:
                return
        if connection in ready:
            data = connection.recv(PIECE_BYTES)
            if not data:
                return
            channel.send(data)


def _connected(access: Access) -> socket.socket:
    address = urlsplit(access.server)
    is_tls = address.scheme == "https"
    place = (address.hostname or "", address.port or (443 if is_tls else 80))
    try:
        plain = socket.create_connection(place, CONNECT_SECONDS)
        if not is_tls:
            return plain
        return tls_context(access).wrap_socket(plain, server_hostname=place[0])
    except OSError as error:
        raise Unreachable(
            f"{access.server} cannot be reached ({error})",
            "the Kubernetes API",
            "check the kubeconfig's server",
        ) from error
