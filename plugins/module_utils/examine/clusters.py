# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Clusters of data: one member leads, the others follow closely. Asked on each member's host.

Doctor does not know how many members there are to be (`members` is None); verify does.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import Cluster
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import Member, View
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine, Said
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

# Takes a majority to answer.
MEMBERS = ("etcdctl", "--command-timeout=4s", "member", "list")


def read_etcd(engine: Engine, container: str) -> Said:
    """Ask this host's etcd who its members are."""
    return engine.run(container, list(MEMBERS))


def judge_etcd(check: str, said: Said, members: int | None = None) -> Finding:
    """Return whether a majority of etcd's members agrees, and on how many they are. Pure."""
    if said.status:
        reason = "".join(said.stderr.strip().splitlines()[-1:])[-160:] or "no answer"
        return Finding(
            check,
            f"etcd has no majority, so no PostgreSQL can become the primary: {reason}",
            "more than half of its members running, and reachable from each other",
            "start etcd on the other hosts; check the firewall between them (playbooks/flows.yml)",
            service="etcd",
        )
    count = len([line for line in said.stdout.splitlines() if line.count(", ") >= 4])
    return Finding(
        check,
        f"{count} members",
        f"{members or count} members that agree",
        "start etcd on the other hosts; run site.yml, which removes a member that left for good",
        service="etcd",
        status=verdict(members in (None, count)),
    )


def judge_leader(check: str, cluster: Cluster, container: str) -> Finding:
    """Return whether exactly one member of PostgreSQL's cluster leads. Pure."""
    leaders = [member.name for member in cluster.leaders]
    return Finding(
        check,
        _who_leads(leaders) or f"PostgreSQL has no primary: {cluster}",
        "one member that leads",
        "wait half a minute; then see that a majority of etcd's members runs, and read docker logs "
        f"{container} on each host",
        service="postgres",
        status=verdict(len(leaders) == 1),
    )


def _who_leads(leaders: list[str]) -> str:
    names = ", ".join(leaders)
    return f"{len(leaders)} members lead: {names}" if len(leaders) > 1 else names


def judge_members(
    check: str, cluster: Cluster, lag_bytes: int, container: str, members: list[str] | None = None
) -> Finding:
    """Return whether each member of PostgreSQL's cluster leads or follows closely. Pure."""
    there = {member.name for member in cluster.members}
    behind = [member for member in cluster.members if not member.is_within(lag_bytes)]
    missing = sorted({*(members or ())} - there)
    found = [f"{member} does not keep up" for member in behind]
    found += [f"{host} is not there" for host in missing]
    name = behind[0].name if len(behind) == 1 else "NAME"
    return Finding(
        check,
        ", ".join(found) or str(cluster),
        f"each of {len(members or there)} leads or streams, at most {lag_bytes >> 20} MiB behind",
        f"read docker logs {container} on its host; reinitialize a member that cannot catch up: "
        f"docker exec {container} patronictl -c /secrets/patroni.yml reinit postgres {name}",
        service="postgres",
        status=verdict(not found),
    )


def judge_sentinels(check: str, view: View, members: int | None = None) -> Finding:
    """Return whether Sentinel is content with the primary, and sees all members. Pure."""
    if not view.is_well:
        return Finding(
            check,
            f"Redis has no primary that answers: {view.primary} is {', '.join(view.flags)}",
            "one that Sentinel is content with",
            "start Redis and Sentinel on the other hosts: choosing another takes a majority",
            service="redis_sentinel",
        )
    count = members or view.sentinels
    is_whole = members is None or (view.sentinels, view.replicas) == (members, members - 1)
    return Finding(
        check,
        f"{view.sentinels} Sentinels, {view.replicas} replicas of {view.primary}",
        f"{count} Sentinels, {count - 1} replicas of one primary",
        "start Redis and Sentinel where they are missing, and read their logs",
        service="redis_sentinel",
        status=verdict(is_whole),
    )


def judge_redis(
    check: str, member: Member, view: View | None, members: int | None, container: str
) -> Finding:
    """Return whether a Redis leads the others, or follows the one that leads. Pure.

    Sentinel counts replicas that are long gone, too; the primary knows.
    """
    if member.role == "primary":
        is_good = member.replicas == members - 1 if members else member.replicas > 0
    else:
        is_good = member.is_linked and (view is None or member.primary == view.primary)
    text = str(member)
    if member.role == "primary" and not member.replicas:
        text = "Redis is the primary here without a replica, and takes no writes"
    others = members - 1 if members else "the others"
    return Finding(
        check,
        text,
        f"the primary of {others}, or a replica that is connected to it",
        f"read docker logs {container} on this host and on the others",
        service="redis",
        status=verdict(is_good),
    )
