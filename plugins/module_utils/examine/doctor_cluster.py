# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules about clusters of data: who leads, who follows, who agrees. Pure.

A container that does not run has its own finding; here stands what the others cannot make up for.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import (
    LAG_BYTES,
    read_cluster,
)
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import read_view
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unexpected
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import (
    Rule,
    Unseen,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding


def quorum(facts, wanted):
    asked = _asked(facts, wanted, "etcd", "etcd")
    if asked and asked["status"]:
        said = "".join(asked["stderr"].strip().splitlines()[-1:])[-160:]
        yield Finding(
            "cluster",
            f"etcd has no majority, so no PostgreSQL can become the primary: {said}",
            "more than half of its members running, and reachable from each other",
            "start etcd on the other hosts; check the firewall between them (playbooks/flows.yml)",
            service="etcd",
        )


def leader(facts, wanted):
    told = _asked(facts, wanted, "postgres", "patroni", where="etcd")
    if told is None:
        return
    cluster = _read(read_cluster, told)
    if not cluster.leaders:
        yield Finding(
            "cluster",
            f"PostgreSQL has no primary: {cluster}",
            "one member that leads",
            "wait half a minute; then see that etcd has a majority, and read "
            f"docker logs {wanted['container_prefix']}postgres on each host",
            service="postgres",
        )
        return
    for member in cluster.members:
        if not member.is_within(LAG_BYTES):
            yield Finding(
                "cluster",
                f"PostgreSQL's member {member} does not keep up",
                f"streaming, at most {LAG_BYTES >> 20} MiB behind",
                f"read docker logs {wanted['container_prefix']}postgres on {member.name}; one that "
                "cannot catch up is copied anew: docker exec "
                f"{wanted['container_prefix']}postgres patronictl -c /secrets/patroni.yml reinit "
                f"postgres {member.name}",
                service="postgres",
            )


def sentinels(facts, wanted):
    told = _asked(facts, wanted, "redis_sentinel", "sentinel")
    if told is None:
        return
    view = _read(read_view, told)
    if not view.is_well:
        yield Finding(
            "cluster",
            f"Redis has no primary that answers: {view.primary} is {', '.join(view.flags)}",
            "one that Sentinel is content with",
            "start Redis and Sentinel on the other hosts: choosing another takes a majority",
            service="redis_sentinel",
        )


def replicas(facts, wanted):
    """Asked of the primary itself: Sentinel counts replicas that are long gone, too."""
    redis = _asked(facts, wanted, "redis", "redis", where="redis_sentinel")
    if redis and redis["is_primary"] and not redis["replicas"]:
        yield Finding(
            "cluster",
            "Redis is the primary here without a replica, and takes no writes",
            "a replica on each other host",
            f"read docker logs {wanted['container_prefix']}redis on the other hosts",
            service="redis",
        )


def _asked(facts, wanted, service, key, where=""):
    """What was read of a service; None where it has no place on this host."""
    if (where or service) not in wanted["services"]:
        return None
    if facts["engine"] is None:
        raise Unseen("the engine does not answer")
    if facts.get(key) is None:
        raise Unseen(f"{service} does not run or does not answer")
    return facts[key]


def _read(reading, told):
    try:
        return reading(told)
    except Unexpected as error:
        raise Unseen(error.found) from error


RULES: list[tuple[str, Rule]] = [
    ("etcd's majority", quorum),
    ("PostgreSQL's primary and replicas", leader),
    ("Redis's primary", sentinels),
    ("Redis's replicas", replicas),
]
