# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The objects of a cluster, asked as the role `service` asks: of variables of a play."""

from __future__ import annotations

import json

import pytest
import support
from ansible.errors import AnsibleLookupError
from ansible_collections.intranet.mcp.plugins.filter.kubernetes import FilterModule
from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities
from ansible_collections.intranet.mcp.plugins.module_utils.firewall import egress
from clusters import ALERTS, CLUSTER, ENTRY, MODELS_OUTSIDE, SITE, definition
from platforms import MCP_SERVERS, catalog

TO = {
    "site": SITE,
    "entry": ENTRY,
    "images": {"redis": "registry.example.internal/redis:8.0"},
    "ca_bundle": "",
    "with_secrets": False,
    "metrics_secrets": {},
    "alerts": ALERTS,
}


def asked(owner="", definitions=(), servers=MCP_SERVERS, **changes):
    """Return what the lookup answers for a cluster, its Ollama on a host outside."""
    variables = {
        "inventory_hostname": CLUSTER,
        "groups": {**MODELS_OUTSIDE, "kubernetes": [CLUSTER]},
        "hostvars": {
            CLUSTER: {"kubernetes_networks": {"nodes": ["198.51.100.0/24"]}},
            "gpu1": {"platform_address": "192.0.2.41"},
        },
        "platform_services": catalog(MODELS_OUTSIDE),
        "platform_mcp_servers": servers,
        "platform_container_prefix": "intranet-",
        "platform_network": "intranet-mcp",
        "platform_balancer_tls": True,
    }
    options = {"cluster": {**TO, **changes}, "owner": owner, "definitions": list(definitions)}
    (found,) = support.run_lookup("kubernetes_objects", variables=variables, **options)
    return found


def test_a_role_hands_over_its_definitions():
    found = asked("redis", [definition("redis")])
    assert [one["kind"] for one in found["objects"]][-1] == "StatefulSet"
    assert found["secrets"] == [
        {"service": "redis", "name": "redis-secrets", "keys": ["redis.conf"]}
    ]
    (container,) = found["objects"][-1]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.internal/redis:8.0"


def test_what_all_services_share_belongs_to_nobody():
    found = asked()
    kinds = [one["kind"] for one in found["objects"]]
    assert kinds == ["Namespace", "NetworkPolicy", "Ingress", "PrometheusRule"]
    assert found["secrets"] == []


def test_hosts_outside_have_the_addresses_of_the_inventory():
    found = asked("litellm", [definition("litellm")])
    assert "192.0.2.41/32" in json.dumps(found["objects"])


def test_names_of_destinations_are_looked_up(monkeypatch):
    monkeypatch.setattr(egress, "resolve", {"wiki.example.internal": ["203.0.113.9"]}.get)
    servers = {"example": {**MCP_SERVERS["example"], "egress": ["wiki.example.internal:443"]}}
    found = asked("tool_server", [definition("tool-example")], servers=servers)
    assert "203.0.113.9/32" in json.dumps(found["objects"])


def test_the_sites_authorities_come_from_a_file_of_the_control_node(monkeypatch):
    store = {"ca.pem": b"all\n", "site.pem": b"own\n", "ca.jks": b"\xfe"}
    monkeypatch.setattr(authorities, "trust_store", {"/etc/own.pem": store}.get)
    found = asked(ca_bundle="/etc/own.pem")
    (trust,) = [one for one in found["objects"] if one["kind"] == "ConfigMap"]
    assert trust["data"]["site.pem"] == "own\n"
    assert not [one for one in asked()["objects"] if one["kind"] == "ConfigMap"]


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ([definition("redis", host_network=True)], "kubernetes_objects: service 'redis' has host_"),
        ([definition("redis", memory_mb=None)], "kubernetes_objects: service 'redis': missing key"),
        ([{**definition("redis"), "name": "nowhere"}], "kubernetes_objects: service 'nowhere' is"),
    ],
)
def test_what_cannot_be_rendered_is_one_message(definitions, message):
    with pytest.raises(AnsibleLookupError, match=message):
        asked("redis", definitions)


def test_files_are_made_of_what_the_lookup_answers():
    found = asked("redis", [definition("redis")])
    filters = FilterModule().filters()
    written = filters["kubernetes_files"](found["objects"], found["secrets"], "dir")
    assert [entry["path"] for entry in written["files"]] == ["dir/redis.yml"]
    assert filters["kubernetes_needed_secrets"](found["secrets"]) == [
        "Secret redis-secrets with redis.conf"
    ]
