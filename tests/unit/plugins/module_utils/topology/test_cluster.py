# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How services are reached that run in a Kubernetes cluster, and from there."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import object_name
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.services import roles
from clusters import ALL_INSIDE, CLUSTER, MODELS_INSIDE, MODELS_OUTSIDE, NODES, platform
from platforms import catalog


@pytest.mark.parametrize(
    ("service", "endpoint"),
    [("litellm", "litellm:4000"), ("redis", "redis:6379"), ("tool-browser", "tool-browser:8103")],
)
def test_within_the_cluster_a_service_is_its_name_in_dns_and_the_catalogs_port(service, endpoint):
    assert str(platform().endpoint(service, CLUSTER)) == endpoint
    assert [str(one) for one in platform().endpoints(service, CLUSTER)] == [endpoint]


@pytest.mark.parametrize(
    ("service", "name"), [("postgres_exporter", "postgres-exporter"), ("tool-x", "tool-x")]
)
def test_a_name_is_one_of_dns(service, name):
    assert object_name(service) == name


@pytest.mark.parametrize("service", ["1st", "Gateway", "x" * 53, "ends-"])
def test_a_service_that_dns_cannot_name_is_refused(service):
    with pytest.raises(TopologyError, match="cannot be named"):
        object_name(service)


def test_a_host_outside_is_reached_at_its_address():
    topology = platform(MODELS_OUTSIDE)
    address = topology.address("gpu1")
    assert str(topology.endpoint("ollama", CLUSTER)) == f"{address}:11434"


def test_several_hosts_outside_are_reached_through_their_balancer():
    topology = platform({**ALL_INSIDE, "litellm": ["app1", "app2"], "load_balancer": ["lb"]})
    balancer = topology.address("lb")
    assert str(topology.endpoint("litellm", CLUSTER)) == f"{balancer}:8000"


def test_from_outside_a_service_is_at_the_clusters_address():
    topology = platform(MODELS_INSIDE)
    assert str(topology.endpoint("ollama", "app1")) == f"{topology.address(CLUSTER)}:11434"
    assert str(topology.endpoint("litellm", "app1")) == "litellm:4000"


def test_only_who_connects_from_outside_has_to_know_the_clusters_address():
    topology = platform(MODELS_OUTSIDE)
    del topology.addresses[CLUSTER]
    assert topology.endpoint("litellm", CLUSTER).host == "litellm"
    assert topology.addresses_of(CLUSTER) == []
    topology = platform(MODELS_INSIDE)
    del topology.addresses[CLUSTER]
    with pytest.raises(TopologyError, match="no address known for host 'cluster'"):
        topology.endpoint("ollama", "app1")


def test_people_come_to_the_entry_of_the_cluster():
    found = platform(public_name="llm.example.internal", tls=True)
    for service in ("litellm", "gateway"):
        assert found.user_endpoint(service).url == "https://llm.example.internal"
    nameless = platform()
    assert nameless.user_endpoint("gateway").host == nameless.address(CLUSTER)


def test_people_come_to_a_balancer_outside_where_there_is_one():
    found = platform({**ALL_INSIDE, "load_balancer": ["lb"]}, tls=True)
    assert found.user_endpoint("gateway").url == f"https://{found.address('lb')}"
    (servers,) = [pool["servers"] for pool in found.pools("lb") if pool["service"] == "gateway"]
    assert servers == [
        {"name": CLUSTER, "address": f"{found.address(CLUSTER)}:8080", "is_name": False}
    ]


def test_hosts_outside_accept_the_clusters_nodes_and_no_other_address_of_it():
    found = platform(MODELS_OUTSIDE)
    flows = {flow.service: flow.sources for flow in found.flows("gpu1")}
    assert flows == {"ollama": (NODES,)}


def test_a_cluster_accepts_hosts_outside_where_they_are_clients():
    found = platform(MODELS_INSIDE)
    flows = {flow.service: flow.sources for flow in found.flows(CLUSTER)}
    assert flows == {"ollama": (f"{found.address('app1')}/32",)}


def test_a_service_in_a_cluster_is_known_by_its_name_there_and_the_public_one():
    found = platform(public_name="llm.example.internal")
    assert found.known_as("gateway") == [
        "gateway",
        "llm.example.internal",
        found.address(CLUSTER),
    ]


def test_what_runs_on_every_host_leaves_clusters_out():
    groups = {**MODELS_OUTSIDE, "monitoring": ["gpu1"]}
    found = platform(groups)
    assert found.hosts_of("node_exporter") == ["gpu1"]
    assert "node_exporter" not in {service.name for service in found.services_on(CLUSTER)}
    of_cluster = roles(catalog(groups), "", ["gateway", "platform", "kubernetes"])
    assert of_cluster == ["gateway"]
    assert "node_exporter" in roles(catalog(groups), "", ["gateway", "platform"])
