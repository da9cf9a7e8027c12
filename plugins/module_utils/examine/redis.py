# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Redis and Sentinel of this host, each asked in its own container with its own secret."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import (
    Member,
    View,
    read_view,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

SERVER = r"""
export REDISCLI_AUTH=$(sed -n 's/^requirepass //p' /secrets/redis.conf)
timeout 5 redis-cli -p "$1" info 2>&1
"""
SENTINEL = r"""
export REDISCLI_AUTH=$(sed -n 's/^requirepass //p' /secrets/sentinel.conf)
timeout 5 redis-cli -p "$1" sentinel master platform
"""
_REPLICA = re.compile(r"^slave\d+:.*\bstate=online\b", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """What a Redis says of itself. error: why it does not, and then there is no member."""

    error: str = ""
    has_saved: bool = True
    member: Member | None = None


def read(engine: Engine, container: str, port: int) -> Server:
    """Ask the server itself."""
    return parse(engine.run(container, ["sh", "-c", SERVER, "ask", str(port)]).text)


def parse(said: str) -> Server:
    """Return what `INFO` tells. Pure."""
    fields = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    if "redis_version" not in fields:
        return Server(" ".join(said.split())[:160] or "no answer")
    # INFO is answered while everything else is refused.
    if fields.get("loading", "0").strip() != "0":
        return Server("it is loading its data")
    has_saved = fields.get("rdb_last_bgsave_status", "ok").strip() == "ok"
    member = Member("primary", "", True, len(_REPLICA.findall(said)))
    if fields.get("role", "").strip() == "slave":
        primary = f"{fields['master_host'].strip()}:{fields['master_port'].strip()}"
        is_linked = fields.get("master_link_status", "").strip() == "up"
        member = Member("replica", primary, is_linked, 0)
    return Server("", has_saved, member)


def read_sentinel(engine: Engine, container: str, port: int) -> View:
    """Ask Sentinel how it sees the cluster."""
    said = engine.run(container, ["sh", "-c", SENTINEL, "ask", str(port)])
    return read_view(said.stdout.splitlines())


def judge(check: str, found: Server, container: str) -> Finding:
    """Return whether it serves and can save. Pure."""
    if found.error:
        text = f"Redis does not serve: {found.error}"
        expected = "an answer to the password that the inventory's secrets hold"
        action = f"docker logs {container}; a wrong password: run the playbook"
    elif not found.has_saved:
        text = "Redis could not save to its disk and refuses writes"
        expected = "a snapshot that succeeds"
        action = "make room on its disk; it tries again by itself"
    else:
        text, expected, action = "it answers", "an answer, and a snapshot that succeeds", ""
    is_good = found.has_saved and not found.error
    return Finding(check, text, expected, action, service="redis", status=verdict(is_good))
