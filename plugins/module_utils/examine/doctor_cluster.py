# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules about clusters of data: who leads, who follows, who agrees. Pure.

A container that does not run has its own finding; here stands what the others cannot make up for.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import LAG_BYTES
from ansible_collections.intranet.mcp.plugins.module_utils.examine import clusters
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import Rule, of_service

CHECK = "cluster"


def quorum(facts, wanted):
    if said := of_service(facts, wanted, "etcd"):
        yield clusters.judge_etcd(CHECK, said)


def postgres(facts, wanted):
    cluster = of_service(facts, wanted, "postgres", "patroni", beside="etcd")
    if cluster is None:
        return
    container = f"{wanted['container_prefix']}postgres"
    leader = clusters.judge_leader(CHECK, cluster, container)
    yield leader
    if not leader.is_failed:  # else they have nobody to follow
        yield clusters.judge_members(CHECK, cluster, LAG_BYTES, container)


def sentinels(facts, wanted):
    if view := of_service(facts, wanted, "redis_sentinel", "sentinel"):
        yield clusters.judge_sentinels(CHECK, view)


def replicas(facts, wanted):
    """Asked of the primary itself. A replica that is on its way to another primary is no fault."""
    server = of_service(facts, wanted, "redis", beside="redis_sentinel")
    if server and server.member and server.member.role == "primary":
        container = f"{wanted['container_prefix']}redis"
        yield clusters.judge_redis(CHECK, server.member, None, None, container)


RULES: list[tuple[str, Rule]] = [
    ("etcd's majority", quorum),
    ("PostgreSQL's primary and replicas", postgres),
    ("Redis's primary", sentinels),
    ("Redis's replicas", replicas),
]
