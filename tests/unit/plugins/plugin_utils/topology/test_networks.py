# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who shares a network, by the catalog that is deployed."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import (
    INTERFACE_CHARACTERS,
    bridge_of,
    connects,
    contacts,
    exit_zone,
    networks,
    stale,
    zones_of,
)
from platforms import CLUSTERS, LIGHT, SPREAD, topology


def placed(groups, host):
    """Return the zones of each container of the host."""
    found = topology(groups)
    return {s.name: set(zones_of(found, s, host)) for s in found.containers_on(host)}


def named(groups, host):
    return {entry["name"].removeprefix("net-"): entry for entry in networks(topology(groups), host)}


def test_on_one_host_a_service_shares_a_network_with_its_clients_alone():
    assert placed(LIGHT, "one") == {
        "postgres": {"postgres"},
        "redis": {"redis"},
        "ollama": {"ollama"},
        "litellm": {"litellm", "postgres", "redis", "ollama"},
        "gateway": {"gateway", "litellm", "redis", "tool-browser", "tool-example"},
        "tool-browser": {"tool-browser"},
        "tool-example": {"tool-example"},
    }


@pytest.mark.parametrize("groups", [LIGHT, SPREAD, CLUSTERS], ids=["light", "spread", "clusters"])
def test_two_containers_share_a_network_only_where_a_flow_joins_them(groups):
    found = topology(groups)
    for host in found.hosts:
        here = found.containers_on(host)
        for one, other in itertools.combinations(here, 2):
            shared = {*zones_of(found, one, host)} & {*zones_of(found, other, host)}
            is_joined = connects(found, one, other) or connects(found, other, one)
            # Clients of one service meet on its network.
            meet = any(connects(found, one, s) and connects(found, other, s) for s in here)
            assert is_joined <= bool(shared) <= (is_joined or meet), (host, one.name, other.name)


def test_a_tool_server_shares_its_network_with_the_gateway_alone():
    for groups, host in ((LIGHT, "one"), (SPREAD, "app1"), (CLUSTERS, "app1")):
        members = [s for s, zones in placed(groups, host).items() if "tool-browser" in zones]
        assert sorted(members) == ["gateway", "tool-browser"]


def test_members_of_a_cluster_share_their_groups_network():
    found = placed(CLUSTERS, "data")
    assert found["etcd"] == found["postgres"] == {"postgres"}
    assert found["redis_sentinel"] == found["redis"] == {"redis"}


def test_a_client_that_goes_through_the_balancer_is_on_no_network_of_what_is_behind_it():
    assert placed(SPREAD, "app1")["gateway"] == {"gateway", "tool-browser", "tool-example"}
    assert placed(CLUSTERS, "app1")["litellm"] == {"litellm"}


@pytest.mark.parametrize("groups", [LIGHT, SPREAD, CLUSTERS], ids=["light", "spread", "clusters"])
def test_no_container_leaves_its_host_by_the_network_of_a_tool_server_that_it_calls(groups):
    found = topology(groups)
    for host in found.hosts:
        for service in found.containers_on(host):
            zone = exit_zone(zones_of(found, service, host))
            assert zone == service.zone or not zone.startswith("tool-")


def test_what_the_catalog_does_not_open_is_closed():
    found = named(LIGHT, "one")
    assert {zone: entry["egress"] for zone, entry in found.items()} == {
        "gateway": ["any"],
        "litellm": ["any"],
        "ollama": ["any"],
        "postgres": [],
        "redis": [],
        "tool-browser": ["10.1.2.0/24"],
        "tool-example": [],
    }
    assert all(not entry["flows"] and not entry["here"] for entry in found.values())


def test_logs_leave_a_host_for_the_collector_and_the_siem_alone():
    watched = {**SPREAD, "monitoring": ["data"]}
    (flow,) = (f for f in named(watched, "app1")["platform"]["flows"] if "log" in f["service"])
    assert (flow["service"], flow["port"]) == ("log_collector", 6514)
    assert named(watched, "data")["logs"]["egress"] == ["siem.example.internal:6514"]
    # By the network of logs leaves what goes to the SIEM, and nothing else.
    found = placed(watched, "data")
    assert found["log_shipper"] == found["node_exporter"] == {"platform", "logs"}
    assert "logs" not in found["prometheus"]
    assert "platform" in found["prometheus"] & found["log_collector"], "there it reads its numbers"


def test_other_hosts_are_reached_by_the_flows_of_the_catalog_alone():
    found = named(SPREAD, "app1")
    assert {f["service"] for f in found["litellm"]["flows"]} == {"postgres", "redis", "ollama"}
    assert {f["service"]: f["addresses"] for f in found["gateway"]["flows"]} == {
        "redis": ["192.0.2.3"],
        "gateway": ["192.0.2.2"],
        "load_balancer": ["192.0.2.4"],
        "load_balancer_inside": ["192.0.2.4"],
    }
    assert found["tool-example"]["flows"] == []
    assert found["tool-example"]["closed"]["addresses"] == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    assert 5432 in found["tool-example"]["closed"]["ports"]


def test_members_of_a_cluster_reach_one_another_by_address_their_own_included():
    found = named(CLUSTERS, "data")["redis"]
    assert found["here"] == [6379, 26379]
    flows = {f["service"]: f["addresses"] for f in found["flows"]}
    assert flows == {name: ["192.0.2.1", "192.0.2.2"] for name in ("redis", "redis_sentinel")}


def test_what_a_container_must_reach_is_what_the_catalog_says():
    found = {contact["service"]: contact for contact in contacts(topology(LIGHT), "one")}
    assert found["tool-example"]["reaches"] == found["postgres"]["reaches"] == []
    assert found["litellm"]["reaches"] == ["postgres", "redis", "ollama"]
    assert found["gateway"]["reaches"] == ["redis", "litellm", "tool-browser", "tool-example"]
    assert found["tool-example"]["ports"] == [8000]
    found = {contact["service"]: contact for contact in contacts(topology(CLUSTERS), "data")}
    assert found["postgres"]["ports"] == [5432, 8008]
    assert found["redis"]["reaches"] == ["redis_sentinel"]


def test_who_is_in_the_network_of_members_is_told_of_their_ports_of_the_host():
    """Its way to the host's address in that network is that network, not the one it leaves by."""
    watched = {**CLUSTERS, "monitoring": ["data"]}
    found = {contact["service"]: contact for contact in contacts(topology(watched), "data")}
    zones = placed(watched, "data")
    for name, contact in found.items():
        assert ({6379, 26379} <= {*contact["here"]}) == ("redis" in zones[name]), name
    assert "redis" in zones["redis_exporter"] and "redis" not in zones["log_shipper"]


def test_bridges_have_names_that_the_kernel_takes_and_that_differ_between_platforms():
    zones = [*LIGHT, "tool-filesystem", "tool-" + "a" * 32, "tool-" + "a" * 31 + "b"]
    found = {bridge_of(f"{net}-{zone}", zone) for net in ("net", "other") for zone in zones}
    assert len(found) == 2 * len(zones)
    assert {len(name) <= INTERFACE_CHARACTERS for name in found} == {True}


def test_the_network_that_all_once_shared_and_those_of_former_servers_are_removed():
    def entry(name, label=""):
        return {"Name": name, "Labels": {"net.label": label} if label else {}}

    there = [
        entry("net"),
        entry("net-redis", "net"),
        entry("net-tool-old", "net"),
        entry("net-of-a-company"),
        entry("other-redis", "other"),
        {"Name": "bridge", "Labels": None},
    ]
    found = stale({"host_networks": there}, "net", "net.label", ["net-redis"])
    assert found == ["net", "net-tool-old"]
    assert stale({}, "net", "net.label", []) == []
