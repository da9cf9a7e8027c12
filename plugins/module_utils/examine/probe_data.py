# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes of what keeps data, each asked in its container: PostgreSQL, migrations, etcd, Redis."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import Patroni
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    clusters,
    database,
    migrations,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine import redis as redis_server
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import PASSED, Finding

Findings = list[Finding]
# A database that is just starting is waited for.
MIGRATION_WAIT_SECONDS = 60


def postgres(name: str, params: dict[str, Any]) -> Findings:
    """The database answers, and has connections left for everybody."""
    started = time.monotonic()
    engine = Engine(params["socket"])
    found = database.read(engine, params["container"], params["user"], params["database"])
    took = round((time.monotonic() - started) * 1000, 1)
    expected, log = f"an answer from database {params['database']}", params["container"]
    if found.error:
        return [Finding(f"{name} answers", found.error, expected, f"docker logs {log}")]
    allowed, reserve = found.max_connections, params["reserve"]
    return [
        Finding(f"{name} answers", "a query's result", expected, status=PASSED, milliseconds=took),
        database.judge_use(f"{name} connections", found),
        database.judge_pools(f"{name} pool sum", params["pool_sum"], allowed, reserve),
    ]


def applied(name: str, params: dict[str, Any]) -> Findings:
    """Whether all of LiteLLM's migrations are applied."""
    engine = Engine(params["socket"])
    argv = params["argv"] or migrations.command(MIGRATION_WAIT_SECONDS)
    return [migrations.judge(name, migrations.read(engine, params["container"], argv))]


def redis(name: str, params: dict[str, Any]) -> Findings:
    """Redis answers, and can save what it has."""
    container = params["container"]
    found = redis_server.read(Engine(params["socket"]), container, params["port"])
    return [redis_server.judge(name, found, container)]


def postgres_cluster(name: str, params: dict[str, Any]) -> Findings:
    """What this member's Patroni says of all of them."""
    cluster = Patroni(params["url"], params["name"], timeout=params["timeout"]).cluster()
    container, lag_bytes, members = params["container"], params["lag_mb"] << 20, params["members"]
    return [
        clusters.judge_leader(f"{name} leader", cluster, container),
        clusters.judge_members(f"{name} members", cluster, lag_bytes, container, members),
    ]


def etcd(name: str, params: dict[str, Any]) -> Findings:
    """Whether this host's etcd agrees with the others, and on whom."""
    said = clusters.read_etcd(Engine(params["socket"]), params["container"])
    return [clusters.judge_etcd(name, said, params["members"])]


def redis_cluster(name: str, params: dict[str, Any]) -> Findings:
    """What Redis and Sentinel of this host say."""
    engine, container, members = Engine(params["socket"]), params["container"], params["members"]
    server = redis_server.read(engine, container, params["port"])
    view = redis_server.read_sentinel(engine, params["sentinel"], params["sentinel_port"])
    judged = redis_server.judge(f"{name} member", server, container)
    if server.member:
        judged = clusters.judge_redis(f"{name} member", server.member, view, members, container)
    return [judged, clusters.judge_sentinels(f"{name} primary", view, members)]
