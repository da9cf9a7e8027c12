# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Clusters of data, decided from inventory and members: who may be one, who restarts when. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding

# Groups whose hosts, when there are several, are one cluster with one primary.
GROUPS = ("postgres", "redis")
LEAST = 3


def problems(groups: dict[str, list], engine: str = "haproxy") -> list[Finding]:
    """What of the inventory makes no cluster.

    groups: inventory group -> hosts. engine: the load balancer's.
    """
    found = []
    for group in GROUPS:
        count = len(groups.get(group) or [])
        if count < 2:
            continue
        if count % 2 == 0:
            found.append(
                Finding(
                    "inventory",
                    f"group {group} has {count} hosts, of which a majority is no more than "
                    f"{'both' if count == 2 else f'of {count - 1}'}",
                    f"1 host, or an odd number of at least {LEAST}",
                    f"add a host to group {group} or take one out",
                )
            )
        if not groups.get("load_balancer"):
            found.append(
                Finding(
                    "inventory",
                    f"group {group} has {count} hosts, and nobody leads clients to its primary",
                    "a host in group load_balancer",
                    f"put a host into load_balancer, or leave one host in {group}",
                )
            )
        elif engine != "haproxy":
            found.append(
                Finding(
                    "inventory",
                    f"group {group} has {count} hosts, and load_balancer_engine is {engine}",
                    "haproxy, which finds out who the primary is",
                    f"set load_balancer_engine: haproxy, or leave one host in {group}",
                )
            )
    return found


def order(members: dict[str, dict], service: str) -> list[str]:
    """Return the hosts in the order in which their members are brought in line.

    members: host -> {role, data, has_begun}: what it is in the running cluster (primary, replica or
    empty), whose data it holds (primary, replica, none), whether it has been in a cluster.
    """
    hosts = list(members)
    if any(found["role"] for found in members.values()):
        # One that joins comes after those that serve, the primary last of all.
        turns = ("replica", "", "primary")
        return sorted(hosts, key=lambda host: turns.index(members[host]["role"]))
    holders = [host for host in hosts if members[host]["data"] == "primary"]
    if not any(found["has_begun"] for found in members.values()):
        _refuse_ambiguity(members, holders, service)
    # What the cluster begins with, or what it ended with.
    return holders + [host for host in hosts if host not in holders]


def there(members: dict[str, dict], turns: list[str], host: str) -> int:
    """Return how many members there must be once it was this host's turn: all that were or came."""
    came = turns[: turns.index(host) + 1] if host in turns else [host]
    return len({*came, *(name for name, found in members.items() if found["role"])})


def _refuse_ambiguity(members: dict[str, dict], holders: list[str], service: str) -> None:
    """A cluster that begins takes over one host's data; whose must be unambiguous."""
    replicas = [host for host, found in members.items() if found["data"] == "replica"]
    if len(holders) > 1:
        raise Unusable(
            f"found data of {service} on {', '.join(holders)}, expected it on one host when a "
            f"cluster begins: move {service}'s data directory away on the others (the cluster "
            "copies it there again), then run the playbook again"
        )
    if replicas and not holders:
        raise Unusable(
            f"found only replicas' data of {service} (on {', '.join(replicas)}) and no cluster, "
            "expected the primary's: bring the host back that was the primary, or restore a backup"
        )


def etcd_departed(listed: str, peer_urls: list[str]) -> list[str]:
    """Return ids of etcd members that the inventory does not name, out of `member list`.

    None while a member of the inventory is missing: a majority of those that stay comes first.
    """
    rows = [line.split(", ") for line in listed.splitlines() if line.count(", ") >= 4]
    there = {row[3] for row in rows if row[1] == "started"}
    if not set(peer_urls) <= there:
        return []
    return [row[0] for row in rows if row[3] not in peer_urls]
