# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What sites change of the example inventory of a cluster, and what a cluster is asked.

The API server is a fake; each test goes on where the one before left the site.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import subprocess
import sys

import cluster_site
import fake_ollama
import kubernetes_validate
import pytest
import support
import yaml
from servers.fake_cluster import OBJECTS, site_of_fake_cluster

sys.path.insert(0, str(support.REPOSITORY / "tests" / "unit" / "plugins" / "modules"))
import fake_litellm

pytestmark = pytest.mark.integration
NAME, READY = "app.kubernetes.io/name", {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example, deployed."""
    with site_of_fake_cluster(tmp_path_factory.mktemp("enterprise")) as found:
        found.run("site.yml", *OBJECTS)
        yield found


def test_seconds_to_wait_may_be_text_as_on_a_command_line(site):
    before = copy.deepcopy(site.cluster.objects)
    site.run("site.yml", *OBJECTS, "-e", "kubernetes_wait_seconds=60")
    assert site.cluster.objects == before


def test_doctor_finds_a_policy_that_is_gone_and_brings_it_back(site):
    alone = ("--limit", "cluster")
    tls = {
        "kind": "Secret",
        "metadata": {"name": "llm-tls", "generation": 1},
        "data": {"tls.crt": "", "tls.key": ""},
    }
    (secret,) = [path for path in site.cluster.objects if path.endswith("/secrets/redis-secrets")]
    done = site.try_to_run("doctor.yml", *alone)
    assert "the site's Secret llm-tls" in done.stdout
    site.cluster.objects[secret.replace("redis-secrets", "llm-tls")] = tls
    site.run("doctor.yml", *alone)
    (place,) = [path for path in site.cluster.objects if path.endswith("/networkpolicies/redis")]
    del site.cluster.objects[place]
    done = site.try_to_run("doctor.yml", *alone)
    assert done.returncode == 2 and "missing NetworkPolicy redis" in done.stdout
    site.run("doctor.yml", *alone, "--tags", "fix")
    assert place in site.cluster.objects
    assert not [value for value in site.secrets().values() if value in done.stdout]


def test_what_changed_in_the_inventory_changes_in_the_cluster_and_nothing_else(site):
    before = copy.deepcopy(site.cluster.objects)
    without = {name: {"enabled": False} for name in ("filesystem", "example")}
    site.write("group_vars/all/tools.yml", {"mcp_servers": without})
    said = site.run("site.yml", *OBJECTS)
    after = site.cluster.objects
    gone = {
        before[path]["metadata"]["labels"]["app.kubernetes.io/name"]
        for path in {*before} - {*after}
    }
    assert gone == {"tool-example"} and not {*after} - {*before}
    changed = {
        f"{one['kind']} {one['metadata']['name']}"
        for path, one in after.items()
        if one["metadata"]["generation"] != before[path]["metadata"]["generation"]
    }
    # The gateway follows its file; it no longer mounts the token of the tool that went.
    assert changed == {
        "ConfigMap gateway-live",
        "Deployment gateway",
        "NetworkPolicy gateway",
        "Secret gateway-secrets",
    }
    assert re.search(r"^cluster\s*:.* changed=2 ", said, re.MULTILINE)


def test_another_site_is_asked_with_a_key_of_the_secret_and_missed_without_a_finding(site):
    before = copy.deepcopy(site.cluster.objects)
    away = {"name": "north", "url": "https://127.0.0.1:9"}
    site.write("group_vars/all/sites.yml", {"litellm_sites": [away]})
    site.run("site.yml", *OBJECTS)
    names = {path.rpartition("/")[2]: one for path, one in site.cluster.objects.items()}
    secret = {k: base64.b64decode(v).decode() for k, v in names["litellm-secrets"]["data"].items()}
    assert secret["SITE_KEY_1"] == site.secrets()["key-other-sites"]
    (files,) = [one["data"] for name, one in names.items() if name.startswith("litellm-config-")]
    assert "def async_filter_deployments" in files["other_sites.py"]
    asked = {
        (one["model_name"], one["litellm_params"]["api_base"])
        for one in yaml.safe_load(files["config.yaml"])["model_list"]
        if "site" in one["model_info"]
    }
    there = f"{away['url']}/v1"
    assert asked == {("qwen3:8b", there), ("nomic-embed-text", there)}
    assert policies(site.cluster.objects) == policies(before), "LiteLLM may ask any API already"
    said = site.run("doctor.yml", "--limit", "cluster")
    assert "warning from cluster, site north: the site north at https://127.0.0.1:9" in said
    (site.inventory / "group_vars/all/sites.yml").unlink()
    site.run("site.yml", *OBJECTS)


def policies(objects):
    return {path: one["spec"] for path, one in objects.items() if one["kind"] == "NetworkPolicy"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    path = tmp_path_factory.mktemp("authority") / "ca.crt"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null")
    asked = ("openssl", "req", "-x509", *key, "-out", path, "-days", "90", "-subj", "/CN=ca")
    subprocess.run(asked, check=True, capture_output=True)
    return path


def move_data(site, **said):
    """Have the site's database and Redis on servers elsewhere."""
    listed = yaml.safe_load((site.inventory / "hosts.yml").read_text())
    listed["all"]["children"]["platform"]["children"] |= {"postgres": {}, "redis": {}}
    site.write("hosts.yml", listed)
    database = {"name": "litellm", "user": "litellm", "max_connections": 200}
    database |= {"host": "203.0.113.5", "port": 6432, **said}
    redis = {"host": "203.0.113.6", "networks": ["203.0.113.64/26"], **said}
    data = {"platform_database": database, "platform_redis": redis}
    site.write("group_vars/all/servers.yml", data)


def test_an_incomplete_declaration_of_data_elsewhere_is_refused_before_anything_changes(site):
    before = copy.deepcopy(site.cluster.objects)
    move_data(site)
    done = site.try_to_run("site.yml", *OBJECTS)
    assert done.returncode == 2
    for variable in ("platform_database", "platform_redis"):
        assert f"{variable} has a host and no ca_file" in done.stdout
    assert site.cluster.objects == before


def test_data_elsewhere_has_no_pods_here_and_clients_that_check_its_certificate(site, authority):
    move_data(site, ca_file=str(authority))
    site.run("site.yml", *OBJECTS)
    names = {path.rpartition("/")[2]: one for path, one in site.cluster.objects.items()}
    assert not {"postgres", "redis", "postgres-0"} & {*names}
    data = {key: base64.b64decode(value) for key, value in names["litellm-secrets"]["data"].items()}
    assert data["DATABASE_URL"].endswith(
        b"@203.0.113.5:6432/litellm?sslmode=verify-full&sslrootcert=/config/database_ca.crt"
    )
    url = base64.b64decode(names["gateway-secrets"]["data"]["redis_url"])
    assert url.startswith(b"rediss://:")
    assert url.endswith(b"@203.0.113.6:6379/1?ssl_ca_certs=/config/redis_ca.crt")
    (files,) = [one["data"] for name, one in names.items() if name.startswith("litellm-config-")]
    assert files["database_ca.crt"] == files["redis_ca.crt"] == authority.read_text().strip()
    config = yaml.safe_load(files["config.yaml"])
    trusted = {"ssl": True, "ssl_ca_certs": "/config/redis_ca.crt"}
    assert config["router_settings"]["cache_kwargs"] == trusted
    assert trusted.items() <= config["general_settings"]["coordination_redis"].items()
    egress = str([one for one in site.cluster.objects.values() if one["kind"] == "NetworkPolicy"])
    assert "'cidr': '203.0.113.5/32'" in egress and "'cidr': '203.0.113.64/26'" in egress


def test_a_password_of_data_elsewhere_is_never_made_up(site):
    (site.inventory / ".intranet-mcp" / "secrets" / "redis_password").unlink()
    done = site.try_to_run("site.yml", *OBJECTS)
    assert done.returncode == 2
    assert "platform_redis has a host, and there is no secret redis_password" in done.stdout


def test_an_operator_of_the_cluster_runs_postgresql_where_the_site_says_so(site):
    listed = yaml.safe_load((site.inventory / "hosts.yml").read_text())
    inside = {"hosts": {"cluster": {}}}
    listed["all"]["children"]["platform"]["children"] |= {"postgres": inside, "redis": inside}
    site.write("hosts.yml", listed)
    (site.inventory / "group_vars/all/servers.yml").unlink()
    operator = {"operator": "cloudnative_pg", "image": "registry.example.internal/postgresql:17"}
    said = {"kubernetes_postgres": {**operator, "namespace": "cnpg-system"}}
    site.write("group_vars/kubernetes/postgres.yml", said)
    site.cluster.lacks = {"Cluster"}
    before = copy.deepcopy(site.cluster.objects)
    done = site.try_to_run("site.yml", *OBJECTS)
    assert done.returncode == 2
    assert "the cluster has no Cluster of postgresql.cnpg.io" in done.stdout
    assert site.cluster.objects == before
    site.cluster.lacks = set()
    site.run("site.yml", *OBJECTS)
    names = {path.rpartition("/")[2]: one for path, one in site.cluster.objects.items()}
    (database,) = [one for one in site.cluster.objects.values() if one["kind"] == "Cluster"]
    assert database["spec"]["bootstrap"]["initdb"]["secret"] == {"name": "postgres-app"}
    assert database["spec"]["postgresql"]["parameters"]["max_connections"] == "200"
    url = base64.b64decode(names["litellm-secrets"]["data"]["DATABASE_URL"])
    assert url.endswith(b"@postgres-rw:5432/litellm")


def test_models_in_the_cluster_come_from_the_sites_registry_before_their_server_starts(site):
    listed = yaml.safe_load((site.inventory / "hosts.yml").read_text())
    listed["all"]["children"]["platform"]["children"]["ollama"] = {"hosts": {"cluster": {}}}
    site.write("hosts.yml", listed)
    assert "which names no registry" in site.try_to_run("render.yml").stdout
    models = [{"name": "qwen3:8b", "size_gb": 5.2}, {"name": "nomic-embed-text"}]
    said = {"ollama_models": models, "ollama_registry": "203.0.113.9:5000"}
    site.write("group_vars/all/weights.yml", said)
    said = yaml.safe_load((site.inventory / "group_vars/kubernetes/main.yml").read_text())
    volumes = {**said["kubernetes_volumes"], "ollama": {"models": {"size": "100Gi"}}}
    site.write("group_vars/kubernetes/volumes.yml", {"kubernetes_volumes": volumes})
    site.run("render.yml")
    found = {one["kind"]: one for one in yaml.safe_load_all(site.files()["ollama.yml"])}
    for one in found.values():
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    (once,) = found["Job"]["spec"]["template"]["spec"]["containers"]
    assert once["command"] == ["sh", "/config/load.sh"]
    of_registry = "203.0.113.9:5000/library"
    assert once["args"] == [
        f"qwen3:8b {of_registry}/qwen3:8b -",
        f"nomic-embed-text:latest {of_registry}/nomic-embed-text:latest -",
    ]
    (server,) = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert server["args"] == ["serve"] and "exec" in server["readinessProbe"]
    # Nothing else is open to it but names.
    (way, names) = found["NetworkPolicy"]["spec"]["egress"]
    assert way["to"] == [{"ipBlock": {"cidr": "203.0.113.9/32"}}]
    assert {port["port"] for port in (*way["ports"], *names["ports"])} == {5000, 53}


@pytest.fixture(scope="module")
def pods_ollama(site):
    """What runs in the pod of Ollama, once there is one."""
    found = fake_ollama.FakeOllama()
    site.cluster.programs["ollama-0", 11434] = ("127.0.0.1", found.port)
    yield found
    found.close()


def test_weights_of_a_file_reach_a_pod_through_the_api_with_context_and_parameters(
    site, pods_ollama, tmp_path
):
    weights = tmp_path / "own.gguf"
    fake_ollama.write_weights(weights)
    digest = pods_ollama.takes(weights)
    source = {"type": "file", "path": str(weights), "checksum": digest}
    source["parameters"] = {"temperature": 0.5}
    own = {"name": "own:1", "sources": [source], "context": 2048, "keep_loaded": True}
    site.write("group_vars/all/weights.yml", {"ollama_models": [own]})
    models = ("--limit", "cluster", "--tags", "data")
    assert "StatefulSet ollama" in site.run("site.yml", *models, "--check")
    assert pods_ollama.models == {}
    site.run("site.yml", *models)
    assert (
        pods_ollama.blobs == {digest}
        and pods_ollama.models["own:1"]["parameters"] == "temperature 0.5"
    )
    assert pods_ollama.loaded == {"own:1": 2048}
    # The pod waits for it; nothing is pulled.
    names = {path.rpartition("/")[2]: one for path, one in site.cluster.objects.items()}
    assert names["ollama-live"]["data"] == {"models": "own:1\n"}
    jobs = [one for one in site.cluster.objects.values() if one["kind"] == "Job"]
    # LiteLLM's migrations are one, too.
    (job,) = [one for one in jobs if one["metadata"]["name"].startswith("ollama")]
    assert job["spec"]["template"]["spec"]["containers"][0].get("args", []) == []
    assert cluster_site.changes(site.run("site.yml", *models)) == 0


def test_clis_are_told_what_an_ollama_in_the_cluster_says_its_models_can_do(site, pods_ollama):
    (record,) = site.inventory.glob(".intranet-mcp/kubernetes/*-models.json")
    known = {"own:1": {"capabilities": fake_ollama.CAPABILITIES, "context": 2048}}
    assert json.loads(record.read_text()) == known
    record.unlink()
    payments = {"name": "payments", "models": ["own:1"], "members": [{"alias": "alice"}]}
    site.write("group_vars/all/people.yml", {"teams": [payments]})
    (site.inventory / ".intranet-mcp" / "secrets" / "key-alice").write_text("sk-alice")
    pod = {"metadata": {"name": "ollama-0", "labels": {NAME: "ollama"}}, "status": READY}
    site.cluster.pods = [pod]
    site.run("clients.yml", "--limit", "cluster")
    assert json.loads(record.read_text()) == known
    # Where it is away, what it said before stays.
    site.cluster.pods = []
    assert "could not be asked" in site.run("clients.yml", "--limit", "cluster")
    assert json.loads(record.read_text()) == known


def test_the_usage_of_a_cluster_is_told_with_the_calls_that_its_pods_know(site):
    service = support.FakeService()
    litellm = fake_litellm.FakeLiteLLM(service)
    litellm.used("2027-01-02", "k1", "alice", 5, ("payments", 5), alias="alice")
    port = int(service.url.rpartition(":")[2])
    secret = site.inventory / ".intranet-mcp" / "secrets" / "litellm_master_key"
    secret.write_text(fake_litellm.MASTER)
    site.cluster.programs["litellm-1", 4000] = ("127.0.0.1", port)
    site.cluster.pods = [
        {"metadata": {"name": f"{name}-1", "labels": {NAME: name}}, "status": READY}
        for name in ("gateway", "litellm")
    ]
    call = {"time": "2027-01-03T12:00:00.000Z", "caller": "alice", "team": "payments"}
    call |= {"server": "example", "method": "tools/call", "name": "add", "status": "ok"}
    site.cluster.logs["gateway-1"] = json.dumps(call, separators=(",", ":"))
    site.cluster.never_restarted = {"gateway-1"}
    asked = ("usage.yml", "--limit", "cluster", "-e", "usage_month=2027-01")
    said = site.run(*asked)
    assert re.search(r"payments +alice +5 .* 1$", said, re.MULTILINE)
    assert "those in the logs of pods that run now, from 2027-01-03 on" in said
    # Without the right to read logs, tokens and cost are told all the same.
    site.cluster.closed_logs = {"gateway-1"}
    said = site.run(*asked)
    assert re.search(r"payments +alice +5 .* 0$", said, re.MULTILINE)
    assert "calls of tools through its gateway are missing" in said
    service.close()
