# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The matrix says no more and no less than what the firewall and the networks let through."""

from __future__ import annotations

import clusters
import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.flow_matrix import (
    CONTAINER,
    ENTRY,
    HOST,
    POLICY,
    matrix,
    mermaid,
    table,
)
from platforms import CLUSTERS, LIGHT, SPREAD, topology


def said(rows, by=None):
    return {(row["source"], row["service"]) for row in rows if by in (None, row["by"])}


def test_on_one_host_people_reach_the_entry_points_and_no_tool_reaches_anything():
    rows = matrix(topology(LIGHT))
    inside = said(rows, "container network")
    assert ("gateway", "tool-browser") in inside and ("litellm", "postgres") in inside
    assert not [source for source, _to in inside if source.startswith("tool-")]


def test_what_a_tool_server_declares_is_its_own_row():
    (row,) = [row for row in matrix(topology(LIGHT)) if row["source"] == "tool-browser"]
    assert (row["service"], row["port"], row["by"]) == ("10.1.2.0/24", None, "egress")


@pytest.mark.parametrize("groups", [LIGHT, SPREAD, CLUSTERS], ids=["light", "spread", "clusters"])
def test_every_flow_of_the_firewall_is_a_row_and_no_row_of_a_port_has_none(groups):
    found = topology(groups)
    let_in = {(flow.service, flow.port, host) for host in found.hosts for flow in found.flows(host)}
    rows = [row for row in matrix(found) if row["by"] in ("clients", "host port")]
    assert {(r["service"], r["port"], host) for r in rows for host in r["hosts"]} == let_in


def test_addresses_of_hosts_are_said_as_the_services_that_use_them():
    rows = matrix(topology(SPREAD))
    assert ("litellm", "postgres") in said(rows, "host port")
    assert ("gateway", "postgres") not in said(rows)
    assert not [row for row in rows if row["source"].endswith("/32")]


def test_networks_of_people_are_said_as_they_were_declared():
    found = topology(SPREAD, users_networks=["198.51.100.0/24"])
    assert ("198.51.100.0/24", "load_balancer") in said(matrix(found), "clients")


def test_the_table_is_aligned_and_the_chart_has_one_arrow_for_two():
    rows = matrix(topology(SPREAD))
    lines = table(rows)
    column = lines[0].index("to ")
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)
    chart = mermaid(rows)
    assert chart[0] == "flowchart LR"
    arrows = [line.split("-->")[0] + line.rsplit("|", 1)[1] for line in chart if "-->" in line]
    assert len(arrows) == len(set(arrows))


def test_a_name_cannot_end_a_label():
    chart = mermaid([{"source": 'a"]<b', "service": "c", "port": 1, "hosts": [], "by": "clients"}])
    assert '  n0["a ] b"]' in chart


def test_in_a_cluster_policies_let_through_what_networks_do_on_a_host():
    found = matrix(clusters.platform(clusters.ALL_INSIDE))
    on_a_host = matrix(topology({group: ["one"] for group in clusters.ALL_INSIDE}))
    connections = {(r["source"], r["service"], r["port"]) for r in found if r["by"] == POLICY}
    assert connections == {
        (r["source"], r["service"], r["port"]) for r in on_a_host if r["by"] == CONTAINER
    }
    assert len(connections) > 5
    assert CONTAINER not in {row["by"] for row in found}


def test_people_come_to_a_cluster_by_its_entry():
    found = matrix(clusters.platform(users_networks=["192.168.0.0/16"]))
    rows = [row for row in found if row["source"] == "192.168.0.0/16"]
    assert {(row["service"], row["port"], row["by"]) for row in rows} == {
        ("litellm", 443, ENTRY),
        ("gateway", 443, ENTRY),
    }


def test_pods_that_connect_to_hosts_outside_are_named_and_so_are_hosts_that_connect_to_pods():
    outside = {
        (r["source"], r["service"], r["by"])
        for r in matrix(clusters.platform(clusters.MODELS_OUTSIDE))
    }
    assert ("litellm", "ollama", HOST) in outside
    assert not [row for row in outside if clusters.NODES in row]
    inside = {
        (r["source"], r["service"], r["by"])
        for r in matrix(clusters.platform(clusters.MODELS_INSIDE))
    }
    assert ("litellm", "ollama", HOST) in inside
