# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A running Traefik: what it serves is a file, which this writes, and waits for.

/config holds what the role rendered, with every replica in it. What is served lies in the run
directory: the same without the replicas that are drained. Traefik's own API is not needed, and off.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import sys
import tempfile
import time
from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.replica import (
    POLL_SECONDS,
    Balancer,
    Server,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik_config import (
    DYNAMIC,
    GENERATION,
    STATIC,
    parse,
    replicas_of,
    served,
    text,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused, Unreachable
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine

DRAINED = "drained.json"
SERVE_SECONDS = 15
ASK_SECONDS = "5"
# States of a connection (linux/tcp_states.h) over which an answer may still come.
UNDER_WAY = {"01", "02", "08"}  # established, being opened, closed by the replica


class Traefik(Balancer):
    def __init__(self, directory: str, container: str = "", engine: Engine | None = None) -> None:
        super().__init__(directory, container)
        self.engine = engine or Engine()

    @property
    def is_there(self) -> bool:
        return os.path.exists(self._path(DYNAMIC))

    def servers(self, backend: str) -> dict[str, Server]:
        drained = self._drained().get(backend, [])
        replicas = replicas_of(self._rendered(), backend)
        connections = self._connections() if replicas else []
        return {
            name: Server(
                sessions=connections.count(self._place(replica["url"])),
                status="DRAIN" if name in drained else "UP",
                is_drained=name in drained,
            )
            for name, replica in replicas.items()
        }

    def checked(self, backend: str, name: str) -> Server | None:
        """Asked from inside the container: Traefik checks no replica that is drained."""
        replica = replicas_of(self._rendered(), backend).get(name)
        if replica is None:
            return None
        place = urlsplit(replica["url"])
        said = self._ask(place.hostname, place.port, replica["ready"])
        answer = said.splitlines()[0].partition(" ")[2] if said else ""
        is_drained = name in self._drained().get(backend, [])
        return Server(
            sessions=0,
            status="DRAIN" if is_drained else "UP",
            is_drained=is_drained,
            check=answer or f"no answer on {place.netloc}",
            is_healthy=answer.startswith("200"),
        )

    def set_state(self, backend: str, name: str, state: str) -> None:
        with self._locked():
            drained = self._drained()
            names = set(drained.get(backend, []))
            names = names | {name} if state == "drain" else names - {name}
            self._serve({**drained, backend: sorted(names)})
        time.sleep(POLL_SECONDS)  # a request that was just being passed on is then a connection

    def reload(self) -> str:
        with self._locked():
            return self._serve(self._drained())

    def _serve(self, drained: dict) -> str:
        """Write what is to be served, and wait until it is."""
        dynamic = self._rendered()
        drained = {
            service: [name for name in names if name in replicas_of(dynamic, service)]
            for service, names in drained.items()
        }
        drained = {service: names for service, names in drained.items() if names}
        generation = str(time.time_ns())
        self._write(DRAINED, json.dumps(drained))
        self._write(DYNAMIC, text(served(dynamic, drained, generation)))
        ends_at = time.monotonic() + SERVE_SECONDS
        while f"{GENERATION}: {generation}" not in self._ask("127.0.0.1", self._port(), "/alive"):
            if time.monotonic() > ends_at:
                said = [line for line in self.engine.log(self.container, 50) if " ERR " in line]
                raise Refused(
                    f"Traefik does not serve its new configuration within {SERVE_SECONDS} s: "
                    f"{' '.join(said)[-600:] or 'and does not say why'}",
                    "one that it accepts",
                    f"correct what it names, or read docker logs {self.container}; the old "
                    "configuration is still served",
                )
            time.sleep(POLL_SECONDS)
        return f"generation {generation}"

    def _rendered(self) -> dict:
        return self._parsed(DYNAMIC)

    def _port(self) -> int:
        """Where it answers for itself."""
        address = self._parsed(STATIC)["entryPoints"]["metrics"]["address"]
        return int(address.rpartition(":")[2])

    def _parsed(self, name: str) -> dict:
        """A file that the role rendered."""
        said = self.engine.run(self.container, ["cat", f"/config/{name}"])
        if said.status:
            raise Unreachable(
                f"{self.container} has no configuration: {said.text.strip()}",
                f"/config/{name} in it",
                "run site.yml for the load balancer",
            )
        try:
            return parse(said.stdout)
        except ValueError as error:
            raise Refused(
                f"/config/{name} in {self.container} is not what the role writes: {error}",
                "JSON under one line of comment",
                "run site.yml for the load balancer, which rewrites it",
            ) from error

    def _drained(self) -> dict[str, list[str]]:
        try:
            with open(self._path(DRAINED), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def _write(self, name: str, content: str) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.directory)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # Traefik runs as another user
        os.replace(temporary, self._path(name))

    @contextlib.contextmanager
    def _locked(self):
        """Replicas may be drained at the same time (platform_serial)."""
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _ask(self, host: str, port: int, path: str) -> str:
        """Status and headers of an answer, empty where there is none."""
        command = ["timeout", ASK_SECONDS, "http-head", host, str(port), path]
        return self.engine.run(self.container, command).stdout

    def _connections(self) -> list[tuple]:
        tables = self.engine.run(self.container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout
        return connections(tables)

    def _place(self, url: str) -> tuple[str, int]:
        """Address and port; the name of a container beside it is known to the container only."""
        place = urlsplit(url)
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(place.hostname)), place.port
        found = self.engine.run(self.container, ["getent", "ahosts", place.hostname]).stdout
        return found.split()[0] if found else place.hostname, place.port

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def connections(tables: str) -> list[tuple[str, int]]:
    """Far ends of the connections in the kernel's tables over which something may be under way."""
    found = []
    for line in tables.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[3] not in UNDER_WAY:
            continue
        address, port = fields[2].split(":")
        found.append((_address(bytes.fromhex(address)), int(port, 16)))
    return found


def _address(raw: bytes) -> str:
    """An address as the kernel prints it: 32-bit words in the order of the machine."""
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ipaddress.ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)
