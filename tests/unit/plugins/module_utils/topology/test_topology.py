# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    KEYS,
    SERVICES_TAG,
    TAGS,
    TopologyError,
    build_services,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import (
    Topology,
    port_conflicts,
)
from platforms import ROOT, SPREAD
from platforms import topology as platform

CATALOG = {
    "postgres": {"group": "postgres", "port": 5432, "clients": ["litellm"]},
    "ollama": {
        "group": "ollama",
        "port": 11434,
        "clients": ["litellm", "operator"],
    },
    "litellm": {
        "group": "litellm",
        "port": 4000,
        "clients": ["users", "gateway", "load_balancer", "operator"],
        "ready": "/health/readiness",
        "health": "/health/liveliness",
    },
    "gateway": {
        "group": "gateway",
        "port": 8080,
        "clients": ["users", "load_balancer", "operator"],
        "ready": "/ready",
        "peers": True,
    },
    "load_balancer": {
        "group": "load_balancer",
        "port": 443,
        "container_port": 8443,
        "clients": ["users"],
    },
    "load_balancer_redirect": {
        "part_of": "load_balancer",
        "group": "load_balancer",
        "port": 80,
        "container_port": 8080,
        "clients": ["users"],
    },
    "load_balancer_inside": {
        "part_of": "load_balancer",
        "group": "load_balancer",
        "port": 8000,
        "clients": ["gateway"],
    },
    "keepalived": {
        "group": "load_balancer",
        "role": "load_balancer",
        "proto": "vrrp",
        "peers": True,
    },
    "tool_server": {
        "group": "tool_servers",
        "members": "mcp_servers",
        "clients": ["gateway"],
        "container_port": 8000,
    },
}
MCP_SERVERS = {
    "filesystem": {"port": 8101},
    "browser": {"port": 8103},
    "remote": {"url": "https://mcp.example.internal/mcp"},
}
ALL_PORTS = [80, 443, 4000, 5432, 8000, 8080, 8101, 8103, 11434]
USERS = ["10.0.0.0/8", "fc00::/7"]


def topology(groups, addresses=None, **options):
    hosts = {host for names in groups.values() for host in names}
    known = addresses or {host: [f"192.0.2.{n}"] for n, host in enumerate(sorted(hosts), 1)}
    return Topology(
        services=build_services(CATALOG, MCP_SERVERS),
        groups=groups,
        addresses=known,
        users_networks=USERS,
        container_prefix="intranet-",
        **options,
    )


@pytest.fixture
def one_host():
    return topology({name: ["one"] for name in ("postgres", "ollama", "litellm", "tool_servers")})


@pytest.fixture
def spread():
    return topology(
        {
            "load_balancer": ["lb"],
            "litellm": ["app1", "app2"],
            "gateway": ["app1", "app2"],
            "tool_servers": ["app2"],
            "postgres": ["data"],
            "ollama": ["gpu1", "gpu2"],
        }
    )


def test_a_service_on_the_same_host_is_reached_by_its_container_name(one_host):
    assert str(one_host.endpoint("litellm", "one")) == "intranet-litellm:4000"


def test_a_tool_server_on_the_same_host_is_reached_on_its_inside_port(one_host):
    assert str(one_host.endpoint("tool-browser", "one")) == "intranet-tool-browser:8000"


def test_a_service_elsewhere_is_reached_by_address_and_published_port(spread):
    assert str(spread.endpoint("tool-browser", "app1")) == "192.0.2.2:8103"


def test_several_hosts_are_reached_through_the_load_balancer(spread):
    assert str(spread.endpoint("litellm", "data")) == "192.0.2.6:8000"


def test_a_client_on_one_of_the_replicas_uses_the_balancer_too(spread):
    """Its own replica restarts under it: the balancer knows when, it does not."""
    assert str(spread.endpoint("litellm", "app2")) == "192.0.2.6:8000"


def test_a_client_on_the_balancers_host_uses_its_container(spread):
    assert str(spread.endpoint("litellm", "lb")) == "intranet-load_balancer:8000"


def test_the_only_replica_is_reached_directly():
    found = topology({"load_balancer": ["lb"], "litellm": ["app1"], "gateway": ["app1", "app2"]})
    assert str(found.endpoint("litellm", "app2")) == "192.0.2.1:4000"
    assert str(found.endpoint("litellm", "app1")) == "intranet-litellm:4000"


def test_people_reach_a_service_through_the_load_balancer(spread):
    assert spread.user_endpoint("litellm").url == "http://192.0.2.6:443"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tls": True}, "https://192.0.2.2"),
        ({"tls": True, "public_name": "llm.example.internal"}, "https://llm.example.internal"),
    ],
)
def test_people_get_the_balancers_name_and_scheme(options, expected):
    found = topology({"load_balancer": ["lb"], "litellm": ["app1"]}, **options)
    assert found.user_endpoint("litellm").url == expected


def test_an_ipv6_address_keeps_its_brackets_in_an_address_to_type():
    found = topology(
        {"load_balancer": ["lb"], "gateway": ["a"]}, {"lb": ["fd00::5"], "a": ["fd00::6"]}, tls=True
    )
    assert found.user_endpoint("gateway").url == "https://[fd00::5]"


@pytest.fixture
def two_balancers():
    return topology(
        {"load_balancer": ["lb1", "lb2"], "litellm": ["app1", "app2"], "gateway": ["app1"]},
        tls=True,
        shared=["192.0.2.10/24"],
    )


def test_everybody_reaches_two_balancers_by_the_address_they_share(two_balancers):
    assert two_balancers.user_endpoint("gateway").url == "https://192.0.2.10"
    assert str(two_balancers.endpoint("litellm", "app1")) == "192.0.2.10:8000"
    assert "192.0.2.10" in two_balancers.known_as("load_balancer")
    assert "192.0.2.10" in two_balancers.known_as("gateway")


def test_a_name_in_the_dns_still_comes_first():
    found = topology(
        {"load_balancer": ["lb1", "lb2"], "litellm": ["a"]},
        tls=True,
        shared=["192.0.2.10/24"],
        public_name="llm.example.internal",
    )
    assert found.user_endpoint("litellm").url == "https://llm.example.internal"


def test_balancers_speak_vrrp_with_each_other_and_with_nobody_else(two_balancers):
    (flow,) = [flow for flow in two_balancers.flows("lb1") if flow.proto == "vrrp"]
    assert (flow.service, flow.sources) == ("keepalived", ("192.0.2.4/32",))
    assert not [flow for flow in two_balancers.flows("app1") if flow.proto == "vrrp"]


def test_who_has_no_port_publishes_none_and_collides_with_nobody(two_balancers):
    assert two_balancers.publish("keepalived", "lb1") == []
    assert 0 not in two_balancers.managed_ports("lb1")
    assert port_conflicts(two_balancers) == []


def test_two_balancers_without_an_address_to_share_are_one_clear_error():
    found = topology({"load_balancer": ["lb1", "lb2"], "litellm": ["a", "b"]})
    for ask in (lambda: found.user_endpoint("litellm"), lambda: found.endpoint("litellm", "a")):
        with pytest.raises(TopologyError) as error:
            ask()
        assert "has 2 hosts (lb1, lb2) and no address that they share" in error.value.found
        assert "prefix length" in error.value.expected
        assert "platform_balancer_address" in error.value.action


def test_frontends_are_published_for_ipv6_only_where_people_come_over_it(two_balancers):
    assert two_balancers.publish("load_balancer", "lb1") == ["0.0.0.0"]
    two_balancers.shared.append("fd00::10/64")
    assert two_balancers.publish("load_balancer_redirect", "lb1") == ["0.0.0.0", "::"]
    assert two_balancers.publish("load_balancer_inside", "lb1") == ["0.0.0.0", "::"]
    assert two_balancers.publish("litellm", "app1") == ["0.0.0.0"]


def test_people_reach_the_only_host_by_its_address(one_host):
    assert str(one_host.user_endpoint("litellm")) == "192.0.2.1:4000"


def test_a_service_is_known_by_container_host_and_balancer(spread):
    assert spread.known_as("postgres") == [
        "intranet-postgres",
        "postgres",
        "data",
        "192.0.2.3",
        "lb",
        "192.0.2.6",
    ]


def test_every_replica_is_listed_for_clients_that_balance_themselves(spread):
    found = [str(endpoint) for endpoint in spread.endpoints("ollama", "app1")]
    assert found == ["192.0.2.4:11434", "192.0.2.5:11434"]


def test_an_ipv6_address_is_written_with_brackets():
    found = topology({"postgres": ["a"], "litellm": ["b"]}, {"a": ["fd00::5"], "b": ["fd00::6"]})
    assert str(found.endpoint("postgres", "b")) == "[fd00::5]:5432"


def test_one_host_accepts_users_on_litellm_and_nothing_else(one_host):
    assert [(f.service, f.port, f.sources) for f in one_host.flows("one")] == [
        ("litellm", 4000, tuple(USERS))
    ]


def test_people_reach_replicas_through_the_balancer_alone(spread):
    flows = {flow.service: flow.sources for flow in spread.flows("app1")}
    assert flows["litellm"] == ("192.0.2.6/32",)


def test_replicas_that_talk_to_each_other_accept_each_other(spread):
    flows = {flow.service: flow.sources for flow in spread.flows("app1")}
    assert flows["gateway"] == ("192.0.2.6/32", "192.0.2.2/32")
    assert str(spread.peer_endpoint("gateway", "app1")) == "192.0.2.1:8080"


def test_the_balancer_accepts_people_on_its_frontend_and_gateways_inside(spread):
    flows = {flow.service: flow.sources for flow in spread.flows("lb")}
    assert flows == {
        "load_balancer": tuple(USERS),
        "load_balancer_redirect": tuple(USERS),
        "load_balancer_inside": ("192.0.2.1/32", "192.0.2.2/32"),
    }


def test_a_balancer_distributes_to_every_replica(spread):
    pools = {pool["service"]: pool for pool in spread.pools("lb")}
    assert sorted(pools) == ["gateway", "litellm"]
    assert pools["litellm"]["ready"] == "/health/readiness"
    assert pools["litellm"]["alive"] == "/health/liveliness"
    assert pools["litellm"]["servers"] == [
        {"name": "app1", "address": "192.0.2.1:4000", "is_name": False},
        {"name": "app2", "address": "192.0.2.2:4000", "is_name": False},
    ]


def test_a_balancer_reaches_a_replica_on_its_own_host_by_name():
    found = topology({"load_balancer": ["app1"], "litellm": ["app1", "app2"]})
    (pool,) = found.pools("app1")
    assert pool["servers"][0] == {
        "name": "app1",
        "address": "intranet-litellm:4000",
        "is_name": True,
    }


def test_a_replica_that_only_the_balancer_beside_it_uses_is_published_on_loopback():
    found = topology({"load_balancer": ["app1"], "litellm": ["app1", "app2"]})
    assert found.publish("litellm", "app1") == ["127.0.0.1"]
    assert found.publish("litellm", "app2") == ["0.0.0.0"]


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"tag": "dta"}, "has the tag 'dta', which no play has"),
        ({"clients": ["users", "load_balancer"]}, "has load_balancer among its clients"),
    ],
)
def test_an_entry_that_no_play_or_balancer_would_serve_is_refused(entry, found):
    with pytest.raises(TopologyError, match=found):
        build_services({"mine": {"group": "mine", "port": 80, **entry}}, {})


def test_tags_are_those_of_the_collections_own_entries():
    catalog = yaml.safe_load((ROOT / "roles/platform/defaults/main/main.yml").read_text())
    own = {entry.get("tag") for entry in catalog["platform_services"].values()} - {None}
    assert own | {SERVICES_TAG} == set(TAGS)


def test_a_part_that_is_switched_off_has_no_port():
    services = build_services({"x": {"group": "x", "port": 80, "enabled": False}}, {})
    assert services == {}


CLUSTER = {
    "postgres": {
        "group": "postgres",
        "port": 5432,
        "clients": ["litellm"],
        "peers": True,
        "frontend": "load_balancer_postgres",
    },
    "patroni": {
        "part_of": "postgres",
        "group": "postgres",
        "port": 8008,
        "peers": True,
        "ready": "/primary",
    },
    "etcd": {"group": "postgres", "port": 2379, "peers": True},
    "etcd_peer": {"part_of": "etcd", "group": "postgres", "port": 2380, "peers": True},
    "load_balancer": {"group": "load_balancer", "port": 443, "clients": ["users"]},
    "load_balancer_inside": {
        "part_of": "load_balancer",
        "group": "load_balancer",
        "port": 8000,
        "clients": ["gateway"],
    },
    "load_balancer_postgres": {
        "part_of": "load_balancer",
        "group": "load_balancer",
        "port": 15432,
        "clients": ["litellm"],
    },
}


def cluster(**groups):
    chosen = {"postgres": ["a", "b", "c"], "litellm": ["a"], "load_balancer": ["lb"], **groups}
    hosts = dict.fromkeys(host for names in chosen.values() for host in names)
    return Topology(
        services=build_services(CLUSTER, {}),
        groups=chosen,
        addresses={host: [f"192.0.2.{n}"] for n, host in enumerate(hosts, 1)},
        container_prefix="intranet-",
    )


def test_one_host_of_a_service_that_could_have_a_leader_is_reached_as_ever():
    found = cluster(postgres=["a"])
    assert str(found.endpoint("postgres", "a")) == "intranet-postgres:5432"
    assert found.leaders("lb") == []
    assert "postgres" not in {flow.service for flow in found.flows("a")}
    moved = cluster(postgres=["a"], litellm=["b"])
    (flow,) = [flow for flow in moved.flows("a") if flow.service == "postgres"]
    assert flow.sources == ("192.0.2.2/32",), "not from the balancer, which does not ask"


def test_clients_reach_the_primary_through_the_balancers_frontend():
    assert str(cluster().endpoint("postgres", "a")) == "192.0.2.4:15432"
    assert str(cluster().endpoint("postgres", "lb")) == "intranet-load_balancer:15432"


def test_a_balancer_asks_each_member_whether_it_leads():
    (leader,) = cluster(load_balancer=["a"]).leaders("a")
    assert (leader["service"], leader["port"], leader["path"]) == ("postgres", 15432, "/primary")
    assert leader["servers"][:2] == [
        {"name": "a", "address": "intranet-postgres:5432", "is_name": True, "check_port": 8008},
        {"name": "b", "address": "192.0.2.2:5432", "is_name": False, "check_port": 8008},
    ]
    assert cluster().pools("lb") == [], "it is no pool of equals"


def test_members_accept_each_other_and_the_balancer_and_nobody_else():
    flows = {flow.service: flow.sources for flow in cluster().flows("a")}
    others, lb = ("192.0.2.2/32", "192.0.2.3/32"), ("192.0.2.4/32",)
    assert flows == {
        "postgres": lb + others,
        "patroni": lb + others,
        "etcd": others,
        "etcd_peer": others,
    }
    (frontend,) = [f for f in cluster().flows("lb") if f.service == "load_balancer_postgres"]
    assert (frontend.port, frontend.sources) == (15432, ("192.0.2.1/32",))


def test_a_part_belongs_to_the_role_of_its_service():
    services = cluster().services
    assert services["etcd_peer"].role == "etcd"
    assert services["postgres"].role == "postgres"
    assert [name for name in services if cluster().is_part(services[name])] == [
        "patroni",
        "etcd_peer",
        "load_balancer_inside",
        "load_balancer_postgres",
    ]
    named = build_services({"x": {"group": "x", "port": 80, "role": "y"}}, {})
    assert named["x"].role == "y"


def test_spread_services_accept_only_the_hosts_of_their_clients(spread):
    (flow,) = spread.flows("data")
    assert (flow.port, flow.sources) == (5432, ("192.0.2.1/32", "192.0.2.2/32"))


def test_a_port_that_no_flow_needs_stays_unpublished(one_host):
    assert one_host.publish("postgres", "one") == []


def test_the_operators_port_is_published_on_loopback_only(one_host):
    assert one_host.publish("ollama", "one") == ["127.0.0.1"]


def test_a_port_that_other_hosts_need_is_published(spread):
    assert spread.publish("ollama", "gpu1") == ["0.0.0.0"]


def test_a_host_knows_what_it_reaches_of_every_other(spread):
    found = {other["host"]: other for other in spread.neighbours("app1")}
    assert "app1" not in found
    assert set(found) == set(spread.hosts) - {"app1"}
    assert all(other["ports"] == sorted(other["ports"]) for other in found.values())
    assert all(5432 in other["ports"] for other in found.values())  # also where nobody runs it
    for name, other in found.items():
        mine = f"{spread.address('app1')}/32"
        direct = {f.port for f in spread.flows(name) if mine in f.sources}
        assert direct <= set(other["open"])


def test_a_host_in_the_users_networks_reaches_what_users_reach():
    lone = topology(
        {"litellm": ["app1"], "ollama": ["gpu1"]},
        {"app1": ["10.0.0.1", "2001:db8::1"], "gpu1": ["10.0.0.2"]},
    )
    assert lone.neighbours("gpu1") == [
        {"host": "app1", "addresses": ["10.0.0.1"], "ports": ALL_PORTS, "open": [4000]}
    ]


def test_a_host_alone_needs_no_address_to_have_no_neighbours():
    assert topology({"litellm": ["app1"]}, {"app1": []}).neighbours("app1") == []


def test_managed_ports_include_closed_ones(one_host):
    assert one_host.managed_ports("one") == [4000, 5432, 8101, 8103, 11434]


def test_a_remote_mcp_server_has_no_container(one_host):
    assert "tool-remote" not in one_host.services


def test_an_unknown_service_names_the_known_ones(one_host):
    with pytest.raises(TopologyError, match=r"unknown service 'litelm'.*litellm"):
        one_host.endpoint("litelm", "one")


def test_a_service_without_hosts_names_its_group():
    with pytest.raises(TopologyError, match="group 'postgres'"):
        topology({"litellm": ["one"]}).endpoint("postgres", "one")


def test_a_host_without_address_says_which_variable_to_set():
    found = topology({"postgres": ["a"], "litellm": ["b"]}, {"a": [], "b": ["192.0.2.2"]})
    with pytest.raises(TopologyError, match="set platform_address"):
        found.endpoint("postgres", "b")


@pytest.mark.parametrize("port", [None, 0, 70000, "many"])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(TopologyError, match="expected a number 1 to 65535"):
        build_services({"x": {"group": "x", "port": port}}, {})


def test_two_services_on_one_port_of_one_host_are_a_conflict():
    services = build_services(
        {"a": {"group": "g", "port": 80}, "b": {"group": "g", "port": 80}}, {}
    )
    (problem,) = port_conflicts(Topology(services, {"g": ["one"]}, {"one": ["192.0.2.1"]}))
    assert problem.startswith("port 80 on one is claimed by a and b")


def test_one_port_on_two_hosts_is_no_conflict(spread):
    assert port_conflicts(spread) == []


def test_a_key_that_nobody_reads_is_refused_with_the_known_ones():
    with pytest.raises(TopologyError) as refused:
        build_services({"redis": {"group": "redis", "port": 6379, "replica": "many"}}, {})
    assert refused.value.found == "platform_services.redis has the key 'replica'"
    assert "part_of, peers, port" in refused.value.expected


def test_every_key_of_an_entry_is_explained_and_used_by_the_catalog_or_read_elsewhere():
    text = (ROOT / "roles/platform/defaults/main/main.yml").read_text()
    header = text[: text.index("\nplatform_services:")]
    assert sorted(re.findall(r"^# (\w+): ", header, re.MULTILINE)) == list(KEYS)
    entries = yaml.safe_load(text)["platform_services"].values()
    assert {key for entry in entries for key in entry} == {*KEYS}


OPERATORS = ["198.51.100.0/28"]
WATCHED = {**SPREAD, "monitoring": ["watch"], "grafana": ["watch"]}


def watched(groups=WATCHED, networks=OPERATORS):
    return platform(groups, users_networks=["10.0.0.0/8"], remote_operators=networks)


def flow_of(found, host, service):
    return next((flow.sources for flow in found.flows(host) if flow.service == service), None)


def test_pages_are_open_to_operators_elsewhere_and_to_nobody_of_the_users_network():
    found = watched()
    assert flow_of(found, "lb", "load_balancer_pages") == (*OPERATORS, "192.0.2.5/32")
    assert flow_of(found, "watch", "prometheus") == ("192.0.2.4/32",), "the balancer"
    assert found.publish("prometheus", "watch") == ["0.0.0.0"]


def test_pages_are_off_unless_somebody_may_open_them():
    found = watched(networks=[])
    assert found.pages("lb") == []
    assert flow_of(found, "lb", "load_balancer_pages") is None
    assert flow_of(found, "watch", "prometheus") is None
    assert found.publish("prometheus", "watch") == ["127.0.0.1"]


def test_without_a_balancer_there_is_no_page():
    groups = {name: hosts for name, hosts in WATCHED.items() if name != "load_balancer"}
    assert watched(groups).pages("watch") == []
    assert flow_of(watched(groups), "watch", "prometheus") is None


def test_a_page_is_found_by_the_balancer_and_by_operators():
    (alerts, measurements, dashboards) = watched().pages("lb")
    assert [page["service"] for page in (alerts, measurements, dashboards)] == [
        "alertmanager",
        "prometheus",
        "grafana",
    ]
    assert measurements == {
        "service": "prometheus",
        "path": "/prometheus",
        "url": "https://192.0.2.4:9443/prometheus/",
        "has_login": False,
        "health": "/-/healthy",
        "hidden": ["/metrics", "/-/healthy"],
        "address": "192.0.2.5:9090",
        "is_name": False,
    }
    assert dashboards["has_login"]


def test_a_page_on_the_balancers_own_host_is_found_by_name():
    found = watched({**WATCHED, "monitoring": ["lb"]})
    page = found.pages("lb")[1]
    assert (page["address"], page["is_name"]) == ("prometheus:9090", True)
