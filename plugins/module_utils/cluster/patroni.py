# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Patroni's REST API: what a PostgreSQL cluster is like, and handing the lead over."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    Refused,
    Unauthorized,
    Unexpected,
    Unreachable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient

USER = "patroni"
POLL_SECONDS = 0.5
# Nobody waits for a standby that is this far behind.
LAG_BYTES = 16 * 1024 * 1024
LEADERS = ("leader", "standby_leader")


@dataclass(frozen=True)
class Member:
    """One member as the cluster sees it."""

    name: str
    role: str  # leader, replica, sync_standby
    state: str  # running, streaming, starting, ...
    lag_bytes: int | None  # None where nobody knows

    @property
    def is_leader(self) -> bool:
        return self.role in LEADERS

    @property
    def is_well(self) -> bool:
        """It leads, or follows closely."""
        if self.is_leader:
            return self.state == "running"
        return self.state == "streaming" and self.lag_bytes is not None

    def is_within(self, lag_bytes: int) -> bool:
        return self.is_well and (self.is_leader or (self.lag_bytes or 0) <= lag_bytes)

    def __str__(self) -> str:
        lag = "" if self.is_leader else f", {describe_lag(self.lag_bytes)}"
        return f"{self.name} ({self.role}, {self.state}{lag})"


def describe_lag(lag_bytes: int | None) -> str:
    """A replica's distance, for people."""
    if lag_bytes is None:
        return "lag unknown"
    return "no lag" if not lag_bytes else f"{max(1, lag_bytes >> 10)} KiB behind"


@dataclass(frozen=True)
class Cluster:
    """All members."""

    members: tuple[Member, ...]

    @property
    def leaders(self) -> list[Member]:
        return [member for member in self.members if member.is_leader]

    def member(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)

    def __str__(self) -> str:
        return ", ".join(map(str, self.members)) or "no member"


def read_cluster(body: Any) -> Cluster:
    """Return what `GET /cluster` says. Pure."""
    try:
        members = [
            Member(m["name"], m["role"], m["state"], _number(m.get("lag")))
            for m in body.get("members", [])
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise Unexpected(
            f"Patroni describes its cluster in an unknown way ({error!r})",
            "members with name, role and state",
            "use Patroni 4",
        ) from error
    return Cluster(tuple(sorted(members, key=lambda member: member.name)))


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def patch_of(wanted: dict, present: dict) -> dict:
    """Return what of `wanted` differs from `present`, nested as there. Pure."""
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        old = present.get(key)
        if isinstance(value, dict):
            below = patch_of(value, old if isinstance(old, dict) else {})
            if below:
                found[key] = below
        elif old != value and str(old) != str(value):
            found[key] = value
    return found


class Patroni:
    """The member on one host."""

    def __init__(self, url: str, name: str, password: str = "", timeout: float = 10) -> None:
        secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self.name = name
        self._client = HttpClient(url, "Patroni", "url", timeout=timeout)
        self._authorized = {"Authorization": f"Basic {secret}"} if password else {}

    def __repr__(self) -> str:
        return f"Patroni({self.name})"

    def cluster(self) -> Cluster:
        return read_cluster(self._client.request("GET", "/cluster").json())

    def settings(self) -> dict:
        """What the members share; empty before the cluster has begun."""
        reply = self._client.request("GET", "/config")
        return reply.json() or {} if reply.ok else {}

    def change_settings(self, patch: dict) -> None:
        self._change("PATCH", "/config", patch)

    def switch_over(self, seconds: float, leader: str = "", candidate: str = "") -> None:
        """Let another lead, the best where none is named. Patroni refuses where none is fit."""
        body = {"leader": leader or self.name, **({"candidate": candidate} if candidate else {})}
        self._change("POST", "/switchover", body, seconds)

    def wait(self, is_done, seconds: float, expected: str) -> Cluster:
        """Ask until the cluster is as expected; what was last seen stands in the error."""
        ends_at, seen = time.monotonic() + seconds, ""
        while True:
            try:
                cluster = self.cluster()
                if is_done(cluster):
                    return cluster
                seen = str(cluster)
            except Unreachable as error:
                seen = error.found
            if time.monotonic() > ends_at:
                raise NotReady(
                    f"after {seconds:g} s the cluster is: {seen}",
                    expected,
                    f"read the log of the container postgres on {self.name}; nothing was deleted, "
                    "and the playbook can be run again",
                )
            time.sleep(POLL_SECONDS)

    def _change(self, method: str, path: str, body: dict, seconds: float = 30) -> None:
        reply = self._client.request(method, path, body, self._authorized, timeout=seconds)
        if reply.status == 401:
            raise Unauthorized(
                f"Patroni on {self.name} does not accept the password",
                "the secret patroni_password that it was started with",
                "restore that secret, or restart the members with the new one",
            )
        if not reply.ok:
            raise Refused(
                f"Patroni on {self.name} refuses {method} {path}: {reply.text.strip()[:300]}",
                "a member that is fit to lead" if path == "/switchover" else "success",
                "wait until the replicas stream without lag, then run the playbook again",
            )
