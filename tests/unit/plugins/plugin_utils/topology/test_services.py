# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Plays, roles and images follow from the catalog, in its order."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology import services
from platforms import LIGHT, catalog

SMALL = {
    "store": {"group": "data", "tag": "data"},
    "store_peer": {"group": "data", "part_of": "store"},
    "watcher": {"group": "data", "role": "store", "image": "eye", "enabled": False},
    "portal": {"group": "web", "image": "portal-slim"},
    "tools": {"group": "tools", "tag": "tool_servers", "members": "mcp_servers"},
}


def test_roles_come_in_the_order_of_the_catalog_once_each():
    assert services.roles(SMALL) == ["store", "portal", "tools"]
    assert services.roles(catalog(LIGHT)) == [
        *("etcd", "postgres", "redis", "ollama", "litellm", "tool_server", "gateway", "portal"),
        *("load_balancer", "exporters", "node_exporter", "dcgm_exporter", "logs"),
        *("prometheus", "grafana"),
    ]


def test_a_service_without_a_tag_is_deployed_with_the_other_services():
    assert services.roles(SMALL, "data") == ["store"]
    assert services.roles(SMALL, "services") == ["portal"]
    assert services.groups(SMALL, "services") == ["web"]


EVERYWHERE = {**SMALL, "eye": {"group": "platform"}, "off": {"group": "platform", "enabled": False}}


def test_what_every_host_runs_is_on_the_hosts_of_all_groups_and_of_no_other():
    assert services.groups(EVERYWHERE, "services") == ["data", "web", "tools"]
    assert services.groups(EVERYWHERE, "data") == ["data"]
    assert services.roles(EVERYWHERE, of_groups=["data"]) == ["store", "eye"]
    assert services.images(EVERYWHERE, ["web"], []) == ["portal-slim", "eye"]
    inventory = {"data": ["a"], "web": ["b"], "tools": [], "desks": ["c"]}
    rolling = {"rolling_eye": ["a", "b", "c"]}
    assert services.changing(EVERYWHERE, {**inventory, **rolling}, "services") == ["a", "b"]


def test_a_service_that_is_off_still_has_a_role_which_removes_it():
    off = {"store": {"group": "data", "enabled": False}}
    assert services.roles(off) == ["store"]
    assert services.roles(off, of_groups=["data"]) == []
    assert services.images(off, ["data"], []) == []


def test_a_host_has_the_roles_of_its_groups():
    assert services.roles(SMALL, of_groups=["web", "all"]) == ["portal"]
    assert services.roles(SMALL, "data", ["web"]) == []


def test_a_host_needs_the_images_of_its_groups():
    assert services.images(SMALL, ["web"], ["tool-a"]) == ["portal-slim"]
    assert services.images(SMALL, ["tools", "web"], ["tool-a"]) == ["portal-slim", "tool-a"]
    on = {**SMALL, "watcher": {**SMALL["watcher"], "enabled": True}}
    assert services.images(on, ["data"], []) == ["store", "store_peer", "eye"]


@pytest.mark.parametrize("use", [services.groups, services.roles])
def test_a_misspelt_key_is_refused_wherever_the_catalog_is_used(use):
    with pytest.raises(TopologyError, match=r"^platform_services[.]store has the key 'gruop'"):
        use({"store": {"gruop": "data"}})
