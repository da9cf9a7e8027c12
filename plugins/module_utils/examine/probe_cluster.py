# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes of clusters of data: one leads, the others follow closely. Asked on each member's host."""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import Cluster, Patroni
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import read_role, read_view
from ansible_collections.intranet.mcp.plugins.module_utils.engine import docker
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

Findings = list[Finding]
READ_LOG = "read the log: docker logs {}"


def postgres_cluster(name: str, params: dict[str, Any]) -> Findings:
    """What this member's Patroni says of all of them."""
    patroni = Patroni(params["url"], params["name"], timeout=params["timeout"])
    return judge_postgres(name, patroni.cluster(), params["members"], params["lag_mb"] << 20)


def judge_postgres(name: str, cluster: Cluster, members: list[str], lag_bytes: int) -> Findings:
    """Return the verdicts over a PostgreSQL cluster. Pure."""
    leaders = [member.name for member in cluster.leaders]
    there = {member.name for member in cluster.members}
    behind = [member for member in cluster.members if not member.is_within(lag_bytes)]
    missing = sorted(set(members) - there)
    found = ", ".join([*map(str, behind), *(f"{host} is not there" for host in missing)])
    log = READ_LOG.format("the container postgres")
    expected = f"each of {len(members)} leads or streams, at most {lag_bytes >> 20} MiB behind"
    return [
        Finding(
            f"{name} leader",
            ", ".join(leaders) or "nobody",
            "one member",
            f"see that a majority of etcd's members runs, then {log}",
            status=verdict(len(leaders) == 1),
        ),
        Finding(f"{name} members", found or str(cluster), expected, log, status=verdict(not found)),
    ]


def etcd(name: str, params: dict[str, Any]) -> Findings:
    """Whether this host's etcd agrees with the others, and on whom."""
    argv = ["etcdctl", "--command-timeout=4s", "member", "list"]
    said = docker.Engine(params["socket"]).run(params["container"], argv)
    return judge_etcd(name, said.status, said.stdout, said.stderr, params["members"])


def judge_etcd(name: str, status: int, listed: str, complaint: str, members: int) -> Findings:
    """Return the verdict over `etcdctl member list`, which takes a majority to answer. Pure."""
    count = len([line for line in listed.splitlines() if line.count(", ") >= 4])
    found = f"{count} members" if status == 0 else complaint.strip()[-200:] or "no answer"
    is_good = status == 0 and count == members
    action = "start etcd on the other hosts; one that left for good: run site.yml, which forgets it"
    return [Finding(name, found, f"{members} members that agree", action, status=verdict(is_good))]


REDIS = r"""
REDISCLI_AUTH=$(sed -n 's/^requirepass //p' /secrets/{file})
export REDISCLI_AUTH
exec redis-cli -p {port} {command}
"""


def redis_cluster(name: str, params: dict[str, Any]) -> Findings:
    """What Redis and Sentinel of this host say, each asked in its container with its own secret."""
    engine = docker.Engine(params["socket"])

    def ask(container: str, **words: Any) -> list:
        said = engine.run(container, ["sh", "-c", REDIS.format(**words)])
        return as_answer(said.stdout.splitlines())

    port, sentinel_port = params["port"], params["sentinel_port"]
    role = ask(params["container"], file="redis.conf", port=port, command="role")
    words = {"file": "sentinel.conf", "port": sentinel_port, "command": "sentinel master platform"}
    view = ask(params["sentinel"], **words)
    return judge_redis(name, role, view, params["members"], params["container"])


def as_answer(lines: list[str]) -> list:
    """Return what redis-cli printed flat as the protocol has it: replicas are a list."""
    return [*lines[:2], lines[2::3]] if lines[:1] == ["master"] else lines


def judge_redis(name: str, role: list, view: list, members: int, container: str) -> Findings:
    """Return the verdicts over a Redis cluster. Pure."""
    member, seen = read_role(role), read_view(view)
    is_primary = member.role == "primary"
    # Sentinel counts replicas that are long gone, too; the primary knows.
    is_followed = is_primary and member.replicas == members - 1
    follows = is_followed or (member.is_linked and member.primary == seen.primary)
    counts = f"{seen.sentinels} Sentinels, {seen.replicas} replicas of {seen.primary}"
    is_whole = seen.is_well and seen.sentinels == members and seen.replicas == members - 1
    flags = "" if seen.is_well else f" ({', '.join(seen.flags)})"
    log = READ_LOG.format(container)
    expected = f"the primary of {members - 1}, or a replica that is connected to it"
    return [
        Finding(f"{name} member", str(member), expected, log, status=verdict(follows)),
        Finding(
            f"{name} primary",
            counts + flags,
            f"{members} Sentinels, {members - 1} replicas of one primary",
            f"start what is missing; {READ_LOG.format(container + '_sentinel')}",
            status=verdict(is_whole),
        ),
    ]
