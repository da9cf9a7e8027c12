# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""PostgreSQL by CloudNativePG: what the operator is told, and who reaches its pods."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import Cluster
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import files, objects
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from clusters import (
    ALL_INSIDE,
    CLUSTER,
    MODELS_INSIDE,
    NODES,
    OPERATOR,
    SITE,
    definition,
    platform,
    rendered,
    target,
)

EXPECTED = Path(__file__).parent / "expected" / "postgres-cloudnative.yml"
THREE = {**SITE["replicas"], "postgres": 3}


def operated(said=None, **settings):
    operator = {**OPERATOR, **(said or {})}
    given = {"postgres": operator, "replicas": THREE, **settings.pop("site", {})}
    return target(said=given, **settings)


def needed(to):
    return objects.needed_secrets([definition("postgres")], "postgres", to)


def test_files_are_the_ones_that_were_read_before():
    """`EXPECTED=write python -m pytest` on this file writes them; then read the difference."""
    to = operated()
    found = objects.of_owner([definition("postgres")], "postgres", to)
    (written,) = files.files(found, needed(to), "dir")["files"]
    if os.environ.get("EXPECTED") == "write":
        EXPECTED.write_text(written["content"])
    assert written["content"] == EXPECTED.read_text()


def test_the_operator_makes_pods_claims_and_services():
    found = rendered("postgres", operated(with_secrets=True))
    assert {*found} == {"Cluster", "NetworkPolicy", "Secret"}
    spec = found["Cluster"]["spec"]
    assert spec["instances"] == 3 and spec["enablePDB"]
    assert spec["postgresql"]["parameters"] == {"max_connections": "100"}
    assert spec["postgresql"]["synchronous"]["dataDurability"] == "preferred"
    assert spec["storage"] == {"size": "20Gi", "storageClass": "fast"}
    assert "backup" not in spec
    one = rendered("postgres", operated(site={"replicas": {}}))["Cluster"]["spec"]
    assert one["instances"] == 1 and not one["enablePDB"] and "synchronous" not in one["postgresql"]


def test_the_owner_has_the_platforms_password():
    secret = rendered("postgres", operated(with_secrets=True))["Secret"]
    assert (secret["metadata"]["name"], secret["type"]) == (
        "postgres-app",
        "kubernetes.io/basic-auth",
    )
    values = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    assert values == {"username": b"litellm", "password": b"not-told"}
    assert needed(operated(with_secrets=True)) == []
    keys = ["password", "username"]
    assert needed(operated()) == [{"service": "postgres", "name": "postgres-app", "keys": keys}]
    theirs = operated(with_secrets=True, site={"secrets": {"postgres": {"name": "from-vault"}}})
    assert "Secret" not in rendered("postgres", theirs)
    assert needed(theirs)[0]["name"] == "from-vault"


def test_clients_find_the_primary_by_the_operators_service():
    found = platform()
    assert str(found.endpoint("postgres", CLUSTER)) == "postgres:5432"
    found.clusters[CLUSTER] = Cluster((NODES,), ("postgres",))
    assert str(found.endpoint("postgres", CLUSTER)) == "postgres-rw:5432"
    assert str(found.endpoint("redis", CLUSTER)) == "redis:6379"


def test_the_operator_reaches_each_instance_and_each_instance_the_api_and_the_others():
    policy = rendered("postgres", operated())["NetworkPolicy"]["spec"]
    labels = rendered("postgres", operated())["Cluster"]["spec"]["inheritedMetadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (operator,) = [rule for rule in policy["ingress"] if len(rule["ports"]) == 2]
    assert operator["from"][0]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "cnpg-system"
    }
    assert [port["port"] for port in operator["ports"]] == [5432, 8000]
    peers, status, api, dns = policy["egress"]
    assert status == {"to": policy["ingress"][-1]["from"], "ports": policy["ingress"][-1]["ports"]}
    assert status["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert peers["to"][0]["podSelector"]["matchExpressions"][0]["values"] == ["postgres"]
    assert api["to"] == [{"ipBlock": {"cidr": NODES}}]
    assert {port["port"] for port in api["ports"]} == {443, 6443}
    assert {port["port"] for port in dns["ports"]} == {53}
    said = {"api_networks": ["203.0.113.1/32"], "api_ports": [6443]}
    *_others, api, _dns = rendered("postgres", operated(said))["NetworkPolicy"]["spec"]["egress"]
    assert api["to"] == [{"ipBlock": {"cidr": "203.0.113.1/32"}}] and len(api["ports"]) == 1


@pytest.mark.parametrize(
    ("said", "settings", "message"),
    [
        ({"image": ""}, {}, "has an operator and no image"),
        ({"namespace": ""}, {}, "kubernetes_postgres names neither a namespace nor networks"),
        ({}, {"groups": {**MODELS_INSIDE, "postgres": [CLUSTER]}}, "hosts outside use PostgreSQL"),
        (
            {},
            {"site": {"networks": {"pods": ["10.244.0.0/16"]}}},
            "where the cluster's API server is, is not known",
        ),
        (
            {},
            {"site": {"volumes": {"postgres": {"data": {"scratch": "1Gi"}}}}},
            "kubernetes_volumes.postgres.data is .*scratch",
        ),
        (
            {},
            {"site": {"secrets": {"postgres": {"name": "x", "keys": {"password": "p"}}}}},
            "kubernetes_secrets.postgres has keys",
        ),
        ({"operator": "zalando"}, {}, "kubernetes_postgres.operator is 'zalando'"),
        ({"api_networks": ["x"]}, {}, "kubernetes_postgres.api_networks has 'x'"),
    ],
)
def test_what_the_operator_cannot_be_told_is_refused(said, settings, message):
    with pytest.raises(KubernetesError, match=message):
        rendered("postgres", operated(said, **settings))


def test_another_port_is_refused():
    to = operated()
    services = to.topology.services
    services["postgres"] = type(services["postgres"])(
        **{**vars(services["postgres"]), "port": 5433, "clients": ()}
    )
    with pytest.raises(KubernetesError, match="platform_postgres_port is 5433"):
        rendered("postgres", to)


def test_without_an_operator_replicas_are_still_refused():
    with pytest.raises(KubernetesError, match="its members agree on one that leads"):
        rendered("postgres", target(ALL_INSIDE, said={"replicas": THREE}))
