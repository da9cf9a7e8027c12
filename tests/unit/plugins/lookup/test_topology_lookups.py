# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Each question about the platform, asked as roles ask it: of variables, for a host of a play."""

from __future__ import annotations

import pytest
import support
from ansible.errors import AnsibleLookupError
from platforms import CLUSTERS, MCP_SERVERS, SPREAD, catalog

HOSTS = {"app1": "192.0.2.11", "app2": "192.0.2.12", "data": "192.0.2.13", "lb": "192.0.2.10"}
# Every lookup that is about the current host, which takes no term.
ABOUT_THE_HOST = [
    *("contacts", "flow_matrix", "flows", "health", "inside_ports", "leaders", "managed_ports"),
    *("metrics", "neighbours", "networks", "pages", "pools", "ports", "replicas"),
    *("shared_address", "verify_host"),
]


def asked(lookup, *terms, host="app1", groups=SPREAD, options=None, **variables):
    known = {
        "inventory_hostname": host,
        "groups": groups,
        "hostvars": {name: {"platform_address": address} for name, address in HOSTS.items()},
        "platform_services": catalog(groups),
        "platform_mcp_servers": MCP_SERVERS,
        "platform_users_networks": ["198.51.100.0/24"],
        "platform_container_prefix": "net-",
        "platform_network": "net",
        "platform_balancer_tls": True,
        "platform_balancer_address": [],
    }
    return support.run_lookup(lookup, *terms, variables=known | variables, **(options or {}))


def test_flows_are_what_comes_in_from_outside():
    found = {flow["service"]: flow for flow in asked("flows", host="lb")}
    assert found["load_balancer"]["sources"] == [
        "198.51.100.0/24",
        "192.0.2.11/32",
        "192.0.2.12/32",
    ]
    assert found["load_balancer"]["proto"] == "tcp"


def test_managed_ports_are_those_of_the_hosts_services():
    assert asked("managed_ports", host="data") == [5432, 6379, 11434]


def test_ports_say_how_each_service_is_published():
    (found,) = asked("ports")
    assert found["litellm"]["port"] == found["litellm"]["inside_port"] == 4000
    assert found["litellm"]["publish"] == ["0.0.0.0"]
    assert found["tool-example"]["publish"] == ["0.0.0.0"]  # the other gateway uses it, too
    assert found["gateway"]["networks"][0]["name"] == "net-gateway"
    assert found["litellm"]["egress"] is True
    (of_balancer,) = asked("ports", host="lb")
    parts = [part["port"] for part in of_balancer["load_balancer"]["parts"]]
    assert parts == [80, 8000, 8404]


def test_inside_ports_are_where_containers_listen():
    (found,) = asked("inside_ports", host="lb")
    assert found["load_balancer"] == 8443
    assert found["load_balancer_redirect"] == 8080


def test_health_is_asked_where_the_catalog_has_a_path_and_the_port_is_published():
    (found,) = asked("health")
    assert found == {
        "litellm": "http://127.0.0.1:4000/health/liveliness",
        "gateway": "http://127.0.0.1:8080/health",
    }
    shut = {"store": {"group": "redis", "port": 6379, "health": "/up"}}
    assert asked("health", host="data", platform_services=shut) == [{}]
    assert asked("health", host="lb") == [{}]  # verify asks the one address


def test_pools_and_replicas_are_what_stands_behind_a_balancer():
    pools = asked("pools", host="lb")
    assert [pool["service"] for pool in pools] == ["litellm", "gateway"]
    assert (pools[0]["ready"], pools[0]["alive"]) == ("/health/readiness", "/health/liveliness")
    assert [pool["service"] for pool in asked("replicas")] == ["litellm", "gateway"]
    assert asked("replicas")[1]["servers"][0] == {"name": "app1", "address": "192.0.2.11:8080"}


def test_leaders_are_services_of_which_one_member_leads():
    assert asked("leaders", host="lb") == []
    found = asked("leaders", host="lb", groups=CLUSTERS)
    assert [leader["service"] for leader in found] == ["postgres", "redis"]


def test_networks_are_those_of_the_hosts_zones():
    names = [network["name"] for network in asked("networks", host="data")]
    assert names == ["net-ollama", "net-postgres", "net-redis"]


def test_contacts_are_what_each_container_reaches():
    found = {contact["service"]: contact for contact in asked("contacts")}
    assert "tool-example" in found["gateway"]["reaches"]
    assert found["tool-example"]["reaches"] == []


def test_neighbours_are_the_other_hosts_with_what_answers_this_one():
    found = {neighbour["host"]: neighbour for neighbour in asked("neighbours")}
    assert set(found) == {"app2", "data", "lb"}
    assert {5432, 6379} <= {*found["data"]["open"]}


def test_the_flow_matrix_is_of_the_whole_platform():
    found = {(row["source"], row["service"]) for row in asked("flow_matrix")}
    assert ("litellm", "postgres") in found
    assert ("gateway", "postgres") not in found


def test_a_shared_address_is_told_to_those_who_share_it():
    assert asked("shared_address", host="lb") == []
    (found,) = asked("shared_address", host="lb", platform_balancer_address="192.0.2.100/24")
    assert (found["address"], found["addresses"]) == ("192.0.2.10", ["192.0.2.100/24"])


def test_an_endpoint_is_where_a_client_reaches_a_service():
    assert asked("endpoint", "postgres") == ["192.0.2.13:5432"]
    assert asked("endpoint", "litellm") == ["192.0.2.10:8000"]
    every = {"every": True}
    assert asked("endpoint", "litellm", options=every) == ["net-litellm:4000", "192.0.2.12:4000"]
    assert asked("endpoint", "litellm", options={"client": "host"}) == ["127.0.0.1:4000"]
    peer = {"client": "peer"}
    assert asked("endpoint", "litellm", options=peer) == ["192.0.2.11:4000"]
    assert asked("endpoint", "litellm", options=peer | every)[1] == "192.0.2.12:4000"
    user = {"client": "user", "url": True}
    assert asked("endpoint", "litellm", options=user) == ["https://192.0.2.10"]


def test_names_are_all_by_which_a_service_may_be_called():
    found = asked("names", "gateway", platform_public_name="ai.example.internal")
    assert {"net-gateway", "ai.example.internal", "app2", "192.0.2.10"} <= {*found}


def test_verify_is_told_what_the_other_lookups_say():
    (found,) = asked("verify_host")
    assert [found["health"]] == asked("health")
    assert found["flows"]["allow"] == asked("flows")


@pytest.mark.parametrize("lookup", ABOUT_THE_HOST)
def test_a_term_that_a_question_does_not_take_is_refused(lookup):
    """One lookup took the question as a term before."""
    with pytest.raises(AnsibleLookupError, match=f"^{lookup}: found the term 'managed', expected"):
        asked(lookup, "managed")


@pytest.mark.parametrize("lookup", [*ABOUT_THE_HOST, "endpoint", "names"])
def test_a_wrong_catalog_is_one_clear_message_of_each(lookup):
    terms = ["gateway"] if lookup in ("endpoint", "names") else []
    wrong = {"redis": {"group": "redis", "prot": 1}}
    with pytest.raises(AnsibleLookupError, match=f"^{lookup}: platform_services.redis has the key"):
        asked(lookup, *terms, platform_services=wrong)


def test_every_lookup_is_tested():
    folder = support.REPOSITORY / "plugins" / "lookup"
    # Each has a test file of its own.
    others = {"hosts", "kubernetes_objects", "role_option", "secret", "state"}
    plugins = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert plugins == {*ABOUT_THE_HOST, "endpoint", "names"} | others
