# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A running load balancer, whichever engine it is: who gets requests, and who is ready for them."""

from __future__ import annotations

import abc
import time
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import NotReady

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Server:
    """One server of a backend, as the balancer sees it now."""

    sessions: int
    status: str  # UP, DOWN, DRAIN, MAINT, or one of these on its way to another, "UP 1/2"
    is_drained: bool  # it gets no new requests, because somebody said so
    check: str = ""  # how its last check ended, for people
    is_healthy: bool = False  # it would get requests if nobody had taken it out


class Balancer(abc.ABC):
    """A balancer on this host. `directory` is where it can be spoken to, `container` its name."""

    def __init__(self, directory: str, container: str = "") -> None:
        self.directory, self.container = directory, container

    @property
    @abc.abstractmethod
    def is_there(self) -> bool:
        """Whether it can be spoken to; it may be about to start."""

    @abc.abstractmethod
    def servers(self, backend: str) -> dict[str, Server]:
        """Every server of a backend, by name."""

    @abc.abstractmethod
    def set_state(self, backend: str, name: str, state: str) -> None:
        """state: ready or drain. Returns when no new request goes the old way."""

    @abc.abstractmethod
    def reload(self) -> str:
        """Serve the present configuration; who is drained stays so. Returns what it said."""

    def server(self, backend: str, name: str) -> Server | None:
        """The server, or None where the configuration has none of that name."""
        return self.servers(backend).get(name)

    def checked(self, backend: str, name: str) -> Server | None:
        """The server with how its check ended."""
        return self.server(backend, name)

    def wait_until_idle(self, backend: str, name: str, seconds: float) -> int:
        """Wait for the server's sessions to end; returns how many are left."""
        server = _wait(
            lambda: self.server(backend, name), lambda server: server.sessions == 0, seconds
        )
        return server.sessions if server else 0

    def wait_until_healthy(self, backend: str, name: str, seconds: float) -> None:
        """Wait for the server's own readiness check, as the balancer asks it."""
        server = _wait(
            lambda: self.checked(backend, name), lambda server: server.is_healthy, seconds
        )
        if server and not server.is_healthy:
            raise NotReady(
                f"{backend} on {name} did not become ready within {seconds:g} s: its check says "
                f"{server.check}",
                "an answer with status 200",
                f"read its log on {name}. It gets no requests until it is ready; run the playbook "
                "again when the cause is fixed",
            )


def _wait(read, is_done, seconds):
    ends_at = time.monotonic() + seconds
    while True:
        server = read()
        if server is None or is_done(server) or time.monotonic() > ends_at:
            return server
        time.sleep(POLL_SECONDS)
