# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the control node adds: the host's services, and whether it can reach their ports."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.intranet.mcp.plugins.action import doctor
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import build_services
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology

CATALOG = {
    "litellm": {"group": "litellm", "port": 4000, "clients": ["users", "gateway"]},
    "redis": {"group": "redis", "port": 6379, "clients": ["litellm", "gateway"]},
    "tool_server": {
        "group": "tools",
        "members": "mcp_servers",
        "clients": ["gateway"],
        "container_port": 8000,
    },
    "gateway": {"group": "gateway", "port": 8080, "clients": ["users"]},
}


def topology(port=4000, users=("127.0.0.0/8",)):
    catalog = {**CATALOG, "litellm": {**CATALOG["litellm"], "port": port}}
    return Topology(
        services=build_services(catalog, {"example": {"port": 8104}}),
        groups={"litellm": ["a"], "gateway": ["a"], "redis": ["b"], "tools": ["a"]},
        addresses={"a": ["127.0.0.1"], "b": ["127.0.0.2"]},
        names={},
        users_networks=list(users),
        container_prefix="intranet-",
        network="net",
    )


def test_services_of_a_host_know_their_role_and_whom_they_need():
    services = doctor.services_of(topology(), "a")
    assert sorted(services) == ["gateway", "litellm", "tool-example"]
    assert services["tool-example"] == {
        "port": 8104,
        "inside_port": 8000,
        "publish": [],
        "parts": [],
        "role": "tool_server",
        "memory_option": "mcp_servers.example.memory_mb",
        "networks": ["net-tool-example"],
        "needs": [],
    }
    assert services["gateway"]["networks"] == ["net-gateway", "net-litellm", "net-tool-example"]
    # Redis is on another host, where it has an address and no name.
    assert sorted(services["gateway"]["needs"]) == ["litellm", "tool-example"]


def test_further_ports_belong_to_their_container_and_no_port_to_keepalived():
    catalog = {
        "balancer": {"group": "lb", "port": 443, "clients": ["users"]},
        "redirect": {"part_of": "balancer", "group": "lb", "port": 80, "clients": ["users"]},
        "keepalived": {"role": "balancer", "group": "lb", "proto": "vrrp", "peers": True},
    }
    found = Topology(
        services=build_services(catalog, {}),
        groups={"lb": ["a", "b"]},
        addresses={"a": ["127.0.0.1"], "b": ["127.0.0.2"]},
        users_networks=["10.0.0.0/8"],
    )
    services = doctor.services_of(found, "a")
    assert sorted(services) == ["balancer", "keepalived"]
    assert services["balancer"]["parts"] == [
        {"name": "redirect", "port": 80, "publish": ["0.0.0.0"]}
    ]
    assert services["keepalived"]["port"] == 0
    assert services["keepalived"]["networks"] == [], "it is on the host's own"
    assert services["keepalived"]["role"] == "balancer"
    assert doctor.reached(found, "a") == {}


def test_a_part_is_a_port_of_its_service_and_no_container_of_its_own():
    part = {"part_of": "redis", "group": "redis", "port": 7000, "clients": ["litellm"]}
    found = Topology(
        services=build_services({**CATALOG, "redis_more": part}, {}),
        groups={"litellm": ["a"], "redis": ["b"]},
        addresses={"a": ["127.0.0.1"], "b": ["127.0.0.2"]},
    )
    services = doctor.services_of(found, "b")
    assert list(services) == ["redis"]
    assert services["redis"]["parts"] == [
        {"name": "redis_more", "port": 7000, "publish": ["0.0.0.0"]}
    ]


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_an_open_port_is_open(listener):
    assert doctor.reached(topology(listener), "a")["litellm"] == "open"


def test_a_closed_port_says_why(closed_port):
    port = int(closed_port.rpartition(":")[2])
    assert "refused" in doctor.reached(topology(port), "a")["litellm"]


def test_ports_that_this_node_may_not_use_are_not_tried():
    assert doctor.reached(topology(users=["10.0.0.0/8"]), "a") == {}
