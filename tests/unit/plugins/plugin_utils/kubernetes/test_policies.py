# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What NetworkPolicies let through is what the catalog says, and nothing else."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import Cluster
from ansible_collections.intranet.mcp.plugins.module_utils.topology.external import External
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import policies
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import connects
from clusters import (
    ALL_INSIDE,
    CLUSTER,
    MODELS_INSIDE,
    MODELS_OUTSIDE,
    NODES,
    everything,
    platform,
    rendered,
    target,
)

NAME = "intranet.mcp.service"
DNS = {"namespace": "kube-system", "k8s-app": "kube-dns"}
TRAEFIK, PROMETHEUS = {"namespace": "traefik"}, {"namespace": "monitoring"}


class Network:
    """What the NetworkPolicies among objects let through, as the API defines them.

    An end is the labels of a pod (with its namespace, if that is another one) or an address.
    """

    def __init__(self, objects):
        self.policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]

    def lets_through(self, client, server, port, protocol="TCP"):
        directions = (("Egress", client, server), ("Ingress", server, client))
        return all(self._allows(way, own, other, port, protocol) for way, own, other in directions)

    def _allows(self, way, own, other, port, protocol):
        if not isinstance(own, dict) or "namespace" in own:
            return True  # no pod of ours
        rules = [
            rule
            for policy in self.policies
            if selects(policy["podSelector"], own) and way in policy["policyTypes"]
            for rule in policy[way.lower()]
        ]
        key = {"Egress": "to", "Ingress": "from"}[way]
        return any(
            any(matches(peer, other) for peer in rule[key])
            and ("ports" not in rule or {"protocol": protocol, "port": port} in rule["ports"])
            for rule in rules
        )


def selects(selector, labels):
    """Tell whether a selector of labels chooses a pod."""
    chosen = all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        chosen = chosen and labels.get(expression["key"]) in expression["values"]
    return chosen


def matches(peer, end):
    """Tell whether a peer of a policy means a pod or an address."""
    if "ipBlock" in peer:
        if isinstance(end, dict):
            return False
        address = ipaddress.ip_address(end)
        block = peer["ipBlock"]
        shut = [ipaddress.ip_network(network) for network in block.get("except", [])]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in network for network in shut
        )
    if not isinstance(end, dict):
        return False
    if "namespaceSelector" in peer:
        found = {"kubernetes.io/metadata.name": end.get("namespace", "llm")}
        if not selects(peer["namespaceSelector"], found):
            return False
    elif "namespace" in end:
        return False
    return selects(peer.get("podSelector", {}), end)


def network(groups=ALL_INSIDE, **settings):
    return Network(everything(target(groups, **settings)))


def pod(service):
    return {NAME: service.replace("_", "-")}


@pytest.mark.parametrize("groups", [ALL_INSIDE, MODELS_OUTSIDE, MODELS_INSIDE])
def test_between_pods_the_flows_of_the_catalog_pass_and_no_others(groups):
    to, found = target(groups), network(groups)
    topology, passing = to.topology, set()
    for client in to.services:
        for service in to.services:
            for port in topology.ports_of(service):
                flows = client.name != service.name and (
                    client.group in port.clients and connects(topology, client, service)
                )
                is_peer = client.name == service.name == "gateway"
                ends = pod(client.name), pod(service.name), port.inside_port
                assert found.lets_through(*ends) is (flows or is_peer), ends
                passing |= {(client.name, service.name)} if flows else set()
    expected = (
        {("litellm", "postgres"), ("gateway", "tool-browser")} if groups != MODELS_INSIDE else set()
    )
    assert expected <= passing


def test_a_pod_of_another_namespace_reaches_nothing_unless_the_site_names_it():
    found = network()
    for service in ("gateway", "litellm"):
        port = {"gateway": 8080, "litellm": 4000}[service]
        assert found.lets_through(TRAEFIK, pod(service), port)
        assert not found.lets_through({"namespace": "others"}, pod(service), port)
        assert not found.lets_through({"namespace": "others", **pod("gateway")}, pod(service), port)
    assert found.lets_through(PROMETHEUS, pod("gateway"), 8080)
    assert found.lets_through(PROMETHEUS, pod("litellm"), 4000)
    for service, port in (("postgres", 5432), ("redis", 6379), ("tool-browser", 8000)):
        for stranger in (TRAEFIK, PROMETHEUS, "203.0.113.7"):
            assert not found.lets_through(stranger, pod(service), port)


def test_a_pod_without_a_policy_of_its_own_is_closed_both_ways():
    found = network()
    assert not found.lets_through(pod("stranger"), pod("gateway"), 8080)
    assert not found.lets_through(pod("gateway"), pod("stranger"), 8080)
    assert not found.lets_through(pod("stranger"), "203.0.113.7", 443)


def test_rules_of_somebody_else_have_no_place_beside_none_of_the_platforms():
    """Server-side apply leaves a field alone that is not said."""
    spec = [one["spec"] for one in everything(target()) if one["kind"] == "NetworkPolicy"]
    assert all({"ingress", "egress"} <= one.keys() for one in spec)
    assert [one for one in spec if not one["egress"] and one["podSelector"]]  # a service, too


def test_a_tool_server_reaches_what_its_entry_declares_and_nothing_else():
    found = network()
    browser, example = pod("tool-browser"), pod("tool-example")
    assert found.lets_through(browser, "10.1.2.9", 443)
    for place in ("10.1.3.9", "203.0.113.7", "169.254.169.254", pod("gateway"), pod("postgres")):
        assert not found.lets_through(browser, place, 443)
    assert found.lets_through(browser, {**DNS}, 53, "UDP")
    # Nothing to connect to, so no names to ask for: they would be a way out of their own.
    for place in ("10.1.2.9", DNS, pod("redis")):
        assert not found.lets_through(example, place, 53, "UDP")
    spec = rendered("tool-example", target())["Deployment"]["spec"]["template"]["spec"]
    assert spec["dnsPolicy"] == "None" and spec["dnsConfig"]["nameservers"] == ["127.0.0.1"]


def test_anywhere_is_never_the_cluster_the_platforms_hosts_or_link_local():
    found = network(MODELS_OUTSIDE)
    litellm = pod("litellm")
    assert found.lets_through(litellm, "203.0.113.7", 443)
    assert found.lets_through(litellm, "2001:db8::7", 443)
    gpu = platform(MODELS_OUTSIDE).address("gpu1")
    assert found.lets_through(litellm, gpu, 11434)  # a flow of the catalog
    assert not found.lets_through(litellm, gpu, 22)
    for shut in ("10.244.3.4", "10.96.0.1", "198.51.100.7", "169.254.169.254", "fe80::1"):
        assert not found.lets_through(litellm, shut, 443)


@pytest.mark.parametrize(
    ("entry", "opened", "shut"),
    [
        ("internet:443", [("203.0.113.7", 443)], [("203.0.113.7", 80), ("192.168.1.1", 443)]),
        ("any:443", [("203.0.113.7", 443), ("192.168.1.1", 443)], [("203.0.113.7", 80)]),
        ("10.0.0.0/8:443", [("10.9.9.9", 443)], [("10.244.0.9", 443), ("10.96.0.1", 443)]),
        ("[fd00::5]:443", [("fd00::5", 443)], [("fd00::6", 443)]),
        ("wiki.example.internal:8443", [("203.0.113.9", 8443)], [("203.0.113.9", 443)]),
    ],
)
def test_each_kind_of_destination_opens_what_it_names(entry, opened, shut):
    to = with_egress("tool-example", entry, addresses={"wiki.example.internal": ["203.0.113.9"]})
    found = Network(everything(to))
    for address, port in opened:
        assert found.lets_through(pod("tool-example"), address, port)
        assert found.lets_through(pod("tool-example"), address, port, "UDP")
    for address, port in shut:
        assert not found.lets_through(pod("tool-example"), address, port)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("10.244.0.0/24", "the cluster's networks"),
        ("198.51.100.7:6443", "the cluster's networks"),
        ("nowhere.example.internal", "nowhere.example.internal has no address"),
    ],
)
def test_a_destination_that_would_open_too_much_or_nothing_is_refused(entry, message):
    to = with_egress("tool-example", entry, addresses={"nowhere.example.internal": []})
    with pytest.raises(KubernetesError, match=message):
        rendered("tool-example", to)


def test_a_server_elsewhere_is_open_to_its_clients_on_its_port_alone():
    groups = {**ALL_INSIDE, "postgres": [], "redis": []}
    elsewhere = {
        "postgres": External("db.example.internal", 5432),
        "redis": External("redis.example.internal", 6380, ("203.0.113.64/26",)),
    }
    addresses = {"db.example.internal": ["203.0.113.5"]}
    to = target(groups, of_topology={"external": elsewhere}, addresses=addresses)
    services = to.topology.services
    for name, service in services.items():
        # Anywhere includes it.
        declared = tuple(text for text in service.egress if text != "any")
        services[name] = dataclasses.replace(service, egress=declared)
    objects = everything(to)
    found = Network(objects)
    assert found.lets_through(pod("litellm"), "203.0.113.5", 5432)
    assert not found.lets_through(pod("litellm"), "203.0.113.5", 5433)
    assert not found.lets_through(pod("gateway"), "203.0.113.5", 5432)
    for client in ("litellm", "gateway"):
        assert found.lets_through(pod(client), "203.0.113.70", 6380)
        assert not found.lets_through(pod(client), "203.0.113.7", 6380)
    assert not [one for one in objects if one["metadata"]["name"] in elsewhere]


def test_a_server_elsewhere_is_none_of_the_clusters_own_networks():
    groups = {**ALL_INSIDE, "postgres": []}
    elsewhere = {"postgres": External("10.96.0.7", 5432)}
    with pytest.raises(KubernetesError, match="the cluster's networks"):
        rendered("litellm", target(groups, of_topology={"external": elsewhere}))


def test_egress_needs_to_know_the_clusters_own_networks():
    with pytest.raises(KubernetesError, match="set kubernetes_networks: pods, services and nodes"):
        rendered("litellm", target(said={"networks": {}}))


def with_egress(service, entry, **settings):
    """Return a target whose service has one destination."""
    to = target(**settings)
    services = to.topology.services
    services[service] = dataclasses.replace(services[service], egress=(entry,))
    return to


def test_names_of_destinations_are_known_before_anything_is_rendered():
    to = with_egress("tool-example", "wiki.example.internal:443")
    assert policies.names_of(to.topology, ["tool-example"]) == ["wiki.example.internal"]
    assert policies.names_of(to.topology, ["tool-browser", "gateway", "unknown"]) == []


def test_hosts_outside_reach_what_their_group_may_at_an_address_of_the_cluster():
    found, topology = network(MODELS_INSIDE), platform(MODELS_INSIDE)
    app = topology.address("app1")
    assert found.lets_through(app, pod("ollama"), 11434)
    assert not found.lets_through("203.0.113.7", pod("ollama"), 11434)
    assert str(topology.endpoint("ollama", "app1")) == f"{topology.address(CLUSTER)}:11434"
    service = rendered("ollama", target(MODELS_INSIDE))["Service"]["spec"]
    assert service["type"] == "LoadBalancer"
    assert service["loadBalancerSourceRanges"] == [f"{app}/32"]
    assert service["externalTrafficPolicy"] == "Local"  # or policies would see a node's address
    assert "type" not in rendered("ollama", target())["Service"]["spec"]


def test_hosts_outside_accept_the_clusters_nodes():
    topology = platform(MODELS_OUTSIDE)
    (flow,) = [flow for flow in topology.flows("gpu1") if flow.service == "ollama"]
    assert flow.sources == (NODES,)
    topology.clusters[CLUSTER] = Cluster()
    with pytest.raises(TopologyError, match=r"set kubernetes_networks\.nodes"):
        topology.flows("gpu1")


def test_users_come_straight_to_what_no_entry_leads_to():
    to = target(of_topology={"users_networks": ["192.168.0.0/16"]})
    services = to.topology.services
    services["redis"] = dataclasses.replace(services["redis"], clients=("users",))
    found = rendered("redis", to)
    assert found["Service"]["spec"]["loadBalancerSourceRanges"] == ["192.168.0.0/16"]
    assert Network(everything(to)).lets_through("192.168.3.4", pod("redis"), 6379)
    assert not [s for s in rendered("gateway", to)["Service"] if "type" in s["spec"]]


@pytest.mark.parametrize("name", ["ingress", "metrics", "dns"])
def test_whoever_else_may_connect_has_to_be_named(name):
    said = {"kind": {"ingress": "ingress", "metrics": "service_monitor"}.get(name)}
    said = {key: value for key, value in said.items() if value}
    with pytest.raises(KubernetesError, match=f"kubernetes_{name} names neither a namespace"):
        rendered("gateway", target(said={name: said}))


def test_with_a_balancer_outside_people_come_through_it_alone():
    groups = {**ALL_INSIDE, "load_balancer": ["lb"]}
    found, topology = network(groups), platform(groups)
    assert found.lets_through(topology.address("lb"), pod("gateway"), 8080)
    assert not found.lets_through(TRAEFIK, pod("gateway"), 8080)
    assert "Ingress" not in {one["kind"] for one in everything(target(groups))}
