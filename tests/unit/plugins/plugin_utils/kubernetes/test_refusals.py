# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Everything that a definition says is rendered, refused by name, or left to the nodes."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition as definitions
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import objects, refusals
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from clusters import ALL_INSIDE, DEFINITIONS, SITE, definition, platform, rendered, target


def test_no_key_of_a_definition_is_forgotten():
    sorted_out = [*refusals.RENDERED, *refusals.REFUSED, *refusals.LEFT_TO_NODES]
    assert sorted(sorted_out) == sorted(definitions.KEYS)


@pytest.mark.parametrize("key", sorted(refusals.RENDERED))
def test_every_key_that_is_rendered_changes_the_objects(key):
    """Taken away, or changed where it is needed, there is something else in the cluster."""
    name = next((n for n, said in DEFINITIONS.items() if key in said), "gateway")
    to = target(with_secrets=True)
    changed = {
        "image": "other",
        "user": "7:7",
        "command": ["other"],
        "health": {"command": ["other"], "start_seconds": 99},
        "memory_mb": 1,
        "read_only": False,
    }
    if key == "name":
        assert rendered("redis", to) != rendered("postgres", to)
    else:
        assert rendered(name, to, **{key: changed.get(key)}) != rendered(name, to)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capabilities": ["NET_ADMIN"]}, r"has capabilities \['NET_ADMIN'\]"),
        ({"host_network": True}, "has host_network True"),
        ({"hand_over": ["keepalived"]}, r"has hand_over \['keepalived'\]"),
        ({"user": "0:0", "host_network": True, "capabilities": ["X"]}, "has capabilities"),
        ({"binds": ["/var/lib/x:/x:ro"]}, "mounts /var/lib/x of its host"),
        ({"extra_hosts": {"x": "host-gateway"}}, "extra_hosts has 'host-gateway' for x"),
        ({"tmpfs": ["/x:exec"]}, "has the option 'exec'"),
        ({"volumes": {"new": "/new"}}, "kubernetes_volumes.gateway.new is not set"),
        ({"files": {"a/b": "x"}}, "files has 'a/b'"),
        ({"secrets": {"a b": "x"}}, "secrets has 'a b'"),
        ({"secret_env": {"session_key": "x"}}, "'session_key' in secrets and in secret_env"),
        ({"files": {"big": "x" * 1024 * 1025}}, "more than 1048576 bytes"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused_by_name(changes, message):
    with pytest.raises(KubernetesError, match=message):
        rendered("gateway", target(), **changes)


def test_what_is_empty_is_not_refused():
    found = rendered("gateway", target(), capabilities=[], host_network=False, hand_over=[])
    assert found == rendered("gateway", target())


def test_a_definition_that_no_host_could_run_is_refused_as_there():
    for changes in ({"users": "7:7"}, {"memory_mb": None}, {"user": "root"}, {"user": "0:0"}):
        with pytest.raises(Unusable, match="service 'gateway'"):
            rendered("gateway", target(), **changes)


def test_an_entry_takes_the_balancers_place():
    groups = {**ALL_INSIDE, "load_balancer": ["cluster"]}
    balancer = {**definition("gateway"), "name": "load_balancer"}
    with pytest.raises(KubernetesError, match="an Ingress or a Gateway in its place"):
        objects.of_owner([balancer], "load_balancer", target(groups))


def test_a_service_that_belongs_elsewhere_is_refused():
    with pytest.raises(KubernetesError, match="service 'ollama' is none of the catalog on"):
        rendered("ollama", target({**ALL_INSIDE, "ollama": ["gpu1"]}))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("postgres", "one that leads"), ("redis", "one that leads"), ("tool-browser", "sessions")],
)
def test_what_cannot_have_replicas_has_one(name, reason):
    volumes = {**SITE["volumes"], "redis": {"data": {"size": "1Gi"}}}
    to = target(said={"replicas": {name: 2}, "volumes": volumes})
    with pytest.raises(KubernetesError, match=reason):
        rendered(name, to)


def test_a_group_has_a_cluster_or_hosts():
    for hosts in (["cluster", "app1"], ["app1", "cluster"]):
        with pytest.raises(TopologyError, match="'litellm' has the cluster 'cluster' and other"):
            platform({**ALL_INSIDE, "litellm": hosts})


def test_a_name_that_a_cluster_does_not_take_is_refused():
    to = target()
    long = "tool-" + "x" * 60
    services = to.topology.services
    services[long] = dataclasses.replace(services["tool-example"], name=long)
    with pytest.raises(TopologyError, match="cannot be named"):
        objects.of_owner([{**definition("tool-example"), "name": long}], "x", to)
