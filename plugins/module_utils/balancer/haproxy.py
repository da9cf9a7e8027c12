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

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.replica import (
    POLL_SECONDS,
    Balancer,
    Server,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    Unexpected,
    Unreachable,
)

ADMIN, MASTER, STATE = "admin.sock", "master.sock", "state"
SERVERS = "show servers state"
# Bits of srv_admin_state: maintenance and drain, as set by the runtime API.
ADMIN_OUT = 0x01 | 0x08
PASSED = ("L7OK", "L6OK", "L4OK")
ANSWER_SECONDS = 30
# While it starts or reloads, the master does not listen for a moment.
CONNECT_SECONDS = 5


class HAProxy(Balancer):
    """A running HAProxy whose sockets lie in `directory`."""

    @property
    def is_there(self) -> bool:
        return os.path.exists(os.path.join(self.directory, ADMIN))

    def servers(self, backend: str) -> dict[str, Server]:
        answer = self.ask(ADMIN, "show stat -1 4 -1").lstrip("# ")
        drained = self._drained(backend)
        return {
            row["svname"]: Server(
                sessions=int(row["scur"] or 0),
                status=row["status"],
                is_drained=row["svname"] in drained,
                check=_check(row),
                is_healthy=_is_healthy(row),
            )
            for row in csv.DictReader(answer.splitlines())
            if row.get("pxname") == backend
        }

    def _drained(self, backend: str) -> set[str]:
        """Names of its drained servers. Their status does not tell while their check fails."""
        lines = self.ask(ADMIN, SERVERS).splitlines()
        head = next((line for line in lines if line.startswith("# ")), "# ")
        rows = csv.DictReader(lines, head[2:].split(), delimiter=" ")
        return {
            row["srv_name"]
            for row in rows
            if row.get("be_name") == backend and int(row["srv_admin_state"]) & ADMIN_OUT
        }

    def set_state(self, backend: str, name: str, state: str) -> None:
        answer = self.ask(ADMIN, f"set server {backend}/{name} state {state}")
        if answer:
            raise Refused(
                f"HAProxy does not set {backend}/{name} to {state}: {answer}",
                "a server of its configuration",
                "correct backend and server, or reload the balancer first",
            )

    def reload(self) -> str:
        """New processes take over; the old ones finish what they have."""
        state = os.path.join(self.directory, STATE)
        with open(state, "w", encoding="utf-8") as file:
            file.write(self.ask(ADMIN, SERVERS) + "\n\n")
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
                f"inspect the container {self.container or 'load_balancer'} on this host",
            ) from error
        answer = b"".join(parts).decode(errors="replace").strip()
        if answer.startswith("Unknown command"):
            raise Unexpected(f"HAProxy does not know {command!r}", "HAProxy 2.8 or newer", "update")
        return answer


def _is_healthy(row: dict) -> bool:
    """Its last check passed, and so many before it that it would get requests."""
    passed = (row.get("check_status") or "").removeprefix("* ") in PASSED
    return passed and row["status"].split()[0] != "DOWN"


def _check(row: dict) -> str:
    """How the last check of a server ended: L7STS 503 Service Unavailable."""
    parts = (row.get(column) for column in ("check_status", "check_code", "last_chk"))
    return " ".join(part for part in parts if part)


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
