# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HAProxy's runtime API: its two sockets, spoken to from the balancer's own host.

admin.sock belongs to the process that serves, master.sock to the one that starts such processes.
"""

from __future__ import annotations

import csv
import os
import socket
import time
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils._errors import (
    NotReady,
    Refused,
    Unexpected,
    Unreachable,
)

ADMIN, MASTER, STATE = "admin.sock", "master.sock", "state"
POLL_SECONDS = 0.2
ANSWER_SECONDS = 30
# While it starts or reloads, the master does not listen for a moment.
CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Server:
    """One server of a backend, as HAProxy sees it now."""

    sessions: int
    status: str  # UP, DOWN, DRAIN, MAINT, or one of these on its way to another, "UP 1/2"
    check: str  # L7OK, L7STS, L4CON, ...
    last_answer: str

    @property
    def is_drained(self) -> bool:
        """It gets no new requests, because somebody said so."""
        return self.status.split()[0] in ("DRAIN", "MAINT")

    @property
    def is_healthy(self) -> bool:
        """Its last check passed, whatever it is used for."""
        return self.check.removeprefix("* ") in ("L7OK", "L6OK", "L4OK")


class HAProxy:
    """A running HAProxy whose sockets lie in `directory`."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @property
    def is_there(self) -> bool:
        return os.path.exists(os.path.join(self.directory, ADMIN))

    def server(self, backend: str, name: str) -> Server | None:
        """The server, or None where the configuration has none of that name."""
        return self.servers(backend).get(name)

    def servers(self, backend: str) -> dict[str, Server]:
        """Every server of a backend, by name."""
        answer = self.ask(ADMIN, "show stat -1 4 -1").lstrip("# ")
        return {
            row["svname"]: Server(
                sessions=int(row["scur"] or 0),
                status=row["status"],
                check=row.get("check_status") or "",
                last_answer=f"{row.get('check_code') or ''} {row.get('last_chk') or ''}".strip(),
            )
            for row in csv.DictReader(answer.splitlines())
            if row.get("pxname") == backend
        }

    def set_state(self, backend: str, name: str, state: str) -> None:
        """state: ready, drain or maint."""
        answer = self.ask(ADMIN, f"set server {backend}/{name} state {state}")
        if answer:
            raise Refused(
                f"HAProxy does not set {backend}/{name} to {state}: {answer}",
                "a server of its configuration",
                "correct backend and server, or reload the balancer first",
            )

    def wait_until_idle(self, backend: str, name: str, seconds: float) -> int:
        """Wait for the server's sessions to end; returns how many are left."""
        server = self._wait(backend, name, seconds, lambda server: server.sessions == 0)
        return server.sessions if server else 0

    def wait_until_healthy(self, backend: str, name: str, seconds: float) -> None:
        """Wait for the server's own readiness check, as the balancer asks it."""
        server = self._wait(backend, name, seconds, lambda server: server.is_healthy)
        if server and not server.is_healthy:
            raise NotReady(
                f"{backend} on {name} did not become ready within {seconds:g} s: its check says "
                f"{server.check} {server.last_answer}",
                "an answer with status 200",
                f"read its log on {name}. It gets no requests until it is ready; run the playbook "
                "again when the cause is mended",
            )

    def reload(self) -> str:
        """Start new processes on the present configuration; the old ones finish what they have."""
        state = os.path.join(self.directory, STATE)
        with open(state, "w", encoding="utf-8") as file:
            file.write(self.ask(ADMIN, "show servers state") + "\n\n")
        os.chmod(state, 0o644)  # HAProxy runs as another user
        try:
            answer = self.ask(MASTER, "reload")
        finally:
            os.unlink(state)  # it would be old news at the next start
        if "Success=1" not in answer:
            raise Refused(
                f"HAProxy refuses the configuration: {answer.strip()[-600:]}",
                "one that it accepts",
                "correct what it names; the old configuration is still served",
            )
        return answer

    def ask(self, name: str, command: str) -> str:
        """Send one command to one of the sockets and return the whole answer."""
        path = os.path.join(self.directory, name)
        try:
            with _connected(path) as connection:
                connection.sendall(f"{command}\n".encode())
                parts = []
                while part := connection.recv(65536):
                    parts.append(part)
        except OSError as error:
            raise Unreachable(
                f"HAProxy does not answer on {path} ({error})",
                "a running load balancer",
                "look at the container intranet-load_balancer on this host",
            ) from error
        answer = b"".join(parts).decode(errors="replace").strip()
        if answer.startswith("Unknown command"):
            raise Unexpected(f"HAProxy does not know {command!r}", "HAProxy 2.8 or newer", "update")
        return answer

    def _wait(self, backend, name, seconds, is_done):
        ends_at = time.monotonic() + seconds
        while True:
            server = self.server(backend, name)
            if server is None or is_done(server) or time.monotonic() > ends_at:
                return server
            time.sleep(POLL_SECONDS)


def _connected(path: str) -> socket.socket:
    """A connection to the socket; refused ones are tried again for a moment."""
    ends_at = time.monotonic() + CONNECT_SECONDS
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(path)
            return connection
        except OSError as error:
            connection.close()
            if not isinstance(error, ConnectionRefusedError) or time.monotonic() > ends_at:
                raise
        time.sleep(POLL_SECONDS)
