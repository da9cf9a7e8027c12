# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify is told of the catalog, host by host."""

from __future__ import annotations

import platforms
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_catalog import of_host

WATCHED = {**platforms.CLUSTERS, "monitoring": ["data"]}


def told(host, groups=platforms.SPREAD):
    return of_host(platforms.topology(groups), host)


def test_a_host_is_told_by_its_services_and_groups():
    found = told("app1")
    assert found["host"] == "app1"
    assert {"litellm", "gateway", "tool_servers"} <= {*found["groups"]}
    assert "redis" not in found["groups"]
    assert found["ports"]["litellm"] == 4000 and "redis" not in found["ports"]
    assert found["ready"]["litellm"] == "/health/readiness"
    assert {*found["health"]} == {"litellm", "gateway"}


def test_groups_of_data_with_several_hosts_are_clusters():
    assert told("data")["clusters"] == []
    found = told("app2", platforms.CLUSTERS)
    assert found["clusters"] == ["postgres", "redis"]
    assert found["members"]["redis"] == ["app1", "app2", "data"]
    assert found["ports"]["patroni"] == 8008 and "redis_sentinel" in found["inside"]


def test_jobs_are_told_where_prometheus_runs():
    assert "redis" in told("data", WATCHED)["jobs"]
    assert told("app1", WATCHED)["jobs"] == []


def test_flows_are_those_of_the_host():
    flows = told("data")["flows"]
    assert flows["managed"] == [5432, 6379, 11434]
    assert {contact["service"] for contact in flows["contacts"]} == {"postgres", "redis", "ollama"}
    assert {neighbour["host"] for neighbour in flows["neighbours"]} == {"app1", "app2", "lb"}
