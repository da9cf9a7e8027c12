# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Servers that keep data elsewhere: where they are, and who may connect to them."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.topology.external import (
    External,
    opened,
    read,
)
from platforms import SPREAD, topology

DATABASE = External("db.example.internal", 6432)
WITHOUT = {**SPREAD, "postgres": [], "redis": []}


def platform(**external):
    return topology(WITHOUT, external=external)


def test_a_server_elsewhere_is_reached_at_its_own_address_from_everywhere():
    found = platform(postgres=DATABASE)
    for host in ("app1", "lb", "data"):
        assert str(found.endpoint("postgres", host)) == "db.example.internal:6432"
    assert found.hosts_of("postgres") == []


def test_only_clients_of_the_catalog_may_connect_to_it():
    found = platform(redis=External("192.0.2.200", 6379)).services
    may = {name for name, service in found.items() if "192.0.2.200:6379" in service.egress}
    assert {"litellm", "gateway"} <= may
    assert not may & {"prometheus", "postgres_exporter", "load_balancer", "tool-example", "ollama"}
    assert {*platform().services["litellm"].egress} <= {*found["litellm"].egress}


@pytest.mark.parametrize(
    ("place", "destinations"),
    [
        (External("db.example.internal", 5432), ["db.example.internal:5432"]),
        (External("2001:db8::5", 5432), ["[2001:db8::5]:5432"]),
        (
            External("db", 5432, ("10.20.0.0/24", "2001:db8::/64")),
            ["10.20.0.0/24:5432", "[2001:db8::/64]:5432"],
        ),
    ],
)
def test_networks_say_where_it_may_be_and_its_host_where_they_are_not_said(place, destinations):
    assert list(place.destinations) == destinations


def test_the_port_is_the_catalogs_unless_said():
    services = topology(SPREAD).services
    found = read({"postgres": {"host": "db", "name": "litellm"}, "redis": {}}, services)
    assert found == {"postgres": External("db", 5432)}
    assert read({"postgres": {"host": "db"}}, {}) == {}


def test_without_such_servers_the_catalog_stays_as_it_is():
    services = topology(SPREAD).services
    assert opened(services, {}) == services
