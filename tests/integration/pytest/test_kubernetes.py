# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The example inventory of a cluster: the roles' own definitions as files, and applied.

The API server is a fake; what sites change of the example is in test_kubernetes_sites.py.
"""

from __future__ import annotations

import re

import kubernetes_validate
import pytest
import yaml
from servers.fake_cluster import OBJECTS, site_of_fake_cluster

pytestmark = pytest.mark.integration
# Kinds of others, of which Kubernetes has no schema.
OF_OTHERS = {"PrometheusRule", "ServiceMonitor"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with site_of_fake_cluster(tmp_path_factory.mktemp("enterprise")) as found:
        yield found


def test_every_service_of_the_cluster_has_a_file(site):
    expected = {"gateway", "litellm", "platform", "postgres", "redis", "tool-browser"}
    assert {*site.files()} == {f"{name}.yml" for name in expected | {"tool-example"}}


@pytest.mark.parametrize("version", ["1.33", kubernetes_validate.latest_version()])
def test_every_object_is_valid(site, version):
    checked = 0
    for text in site.files().values():
        for one in yaml.safe_load_all(text):
            if one["kind"] not in OF_OTHERS:
                kubernetes_validate.validate(one, version, strict=True)
                checked += 1
    assert checked > 30


def test_no_file_tells_a_secret(site):
    secrets = site.secrets()
    assert {"litellm_master_key", "postgres_password", "gateway_session_key"} <= {*secrets}
    text = "".join(site.files().values())
    assert not [name for name, value in secrets.items() if value in text]
    assert not re.search(r"^kind: Secret$", text, re.MULTILINE)
    assert "Secret litellm-secrets with DATABASE_URL, LITELLM_MASTER_KEY" in site.said


def test_services_reach_each_other_by_name_and_hosts_outside_by_address(site):
    found = site.files()
    assert "url: http://litellm:4000" in found["gateway.yml"]
    assert 'peers: ["http://gateway-peers:8080"]' in found["gateway.yml"]
    assert 'public_url: "https://llm.example.internal"' in found["gateway.yml"]
    assert 'trusted_proxies: ["10.244.0.0/16"]' in found["gateway.yml"]
    assert "http://tool-example:8104/" in found["gateway.yml"]
    assert "api_base: http://192.0.2.41:11434" in found["litellm.yml"]
    assert "registry.example.internal/intranet-mcp/litellm:" in found["litellm.yml"]


def test_each_play_is_for_the_side_that_it_is_about(site):
    plays = {
        play.partition("): ")[2].partition("\t")[0]: {
            *re.findall(r"^ {6}(\w+)$", play, re.MULTILINE)
        }
        for play in site.run("site.yml", "--list-hosts").split("play #")[1:]
    }
    hosts = {"gpu1", "gpu2"}
    assert plays["Find every problem before anything changes"] == {"cluster", *hosts}
    assert plays["Prepare the hosts"] == plays["Provide the images"] == hosts
    assert plays["Prepare the clusters' namespaces"] == {"cluster"}
    assert plays["Deploy databases and models"] == {"cluster", *hosts}
    assert plays["Configure teams, people and keys"] == plays["Deploy tool servers"] == {"cluster"}
    assert plays["Remove services from hosts that left their groups"] == {"cluster", *hosts}


def test_check_mode_on_an_empty_cluster_changes_nothing_there(site):
    said = site.run("site.yml", *OBJECTS, "--check")
    assert re.search(r"^cluster\s*:.* changed=6 ", said, re.MULTILINE)
    assert "StatefulSet postgres" in said
    assert site.cluster.objects == {}


def test_the_cluster_gets_what_the_files_have_and_the_secrets(site):
    said = site.run("site.yml", *OBJECTS)
    rendered = [one for text in site.files().values() for one in yaml.safe_load_all(text)]
    names = {f"{one['kind']} {one['metadata']['name']}" for one in rendered}
    of_secrets = {"gateway", "gateway-metrics", "litellm", "litellm-metrics", "postgres", "redis"}
    secrets = {f"Secret {n if '-' in n else f'{n}-secrets'}" for n in of_secrets}
    assert {*site.cluster.names()} == names | secrets
    assert not [name for name, value in site.secrets().items() if value in said]
